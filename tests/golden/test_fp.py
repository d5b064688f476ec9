"""FP's order of channels by hand, where it stops to cut, and that what is cut stays 0 while the rest is trained."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from invmask.defenses import fp
from invmask.defenses.base import Subject, drive
from invmask.defenses.clean_images import Judgement
from invmask.defenses.fp import FP, PRUNE, TUNE, FPConfig, last_activations, least_active_cut


class Net(nn.Module):
    """Two convolutions, the second with a BatchNorm behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 2, 3)
        self.second = nn.Conv2d(2, 5, 1)
        self.norm = nn.BatchNorm2d(5)
        self.head = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.elu(self.norm(self.second(F.relu(self.first(x))))).mean((2, 3)))


@pytest.fixture
def subject() -> Subject:
    torch.manual_seed(4)
    net = Net().double().eval().requires_grad_(False)
    net.norm.running_mean.normal_()
    net.norm.weight.normal_()
    net.norm.bias.normal_()
    labels = torch.tensor([0, 1, 2]).repeat(100)
    return Subject(net, torch.rand(300, 3, 6, 6, dtype=torch.float64), 3, labels=labels)


def test_activations_are_means_of_the_positive_part(subject: Subject) -> None:
    net = subject.model
    values = F.relu(net.norm(net.second(F.relu(net.first(subject.images)))))
    torch.testing.assert_close(last_activations(subject), values.transpose(0, 1).flatten(1).mean(1))
    assert not net.norm._forward_hooks


def test_the_least_active_are_cut_first_and_their_number_is_rounded_up(subject: Subject) -> None:
    activations = torch.tensor([0.3, 0.1, 0.9, 0.0, 0.2]).double()
    for share, cut in ((0.01, [3]), (0.2, [3]), (0.21, [1, 3]), (0.6, [1, 3, 4])):
        gates = least_active_cut(subject, activations, share)
        assert gates.tolist() == [1, 1] + [0.0 if channel in cut else 1.0 for channel in range(5)]


def test_it_cuts_while_the_accuracy_is_kept_and_what_is_cut_stays_so(
    subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The first is of the unchanged network, and the third cut costs more than a tenth.
    accuracies = iter((0.9, 0.9, 0.82, 0.8))
    monkeypatch.setattr(fp, "judge", lambda *_: Judgement(next(accuracies), 0.1))
    monkeypatch.setattr(fp, "last_activations", lambda _: torch.tensor([0.3, 0.1, 0.9, 0.0, 0.2]).double())
    original = fp.least_active_cut
    monkeypatch.setattr(fp, "least_active_cut", lambda given, how, share: original(given, how, 20 * share))
    defense = FP(FPConfig(epochs=2, learning_rate=0.1))
    taken = list(drive(defense, subject, defense.init(subject)))
    assert [record.stage for _, record in taken] == [PRUNE] * 3 + [TUNE] * 2
    assert [record.counts["cut"] for _, record in taken] == [1, 2, 2, 2, 2]
    assert "cutting 3 channels would keep 89 % of the accuracy" in taken[2][1].stage_ended
    for state, _ in taken[1:]:
        for name in ("norm.weight", "norm.bias"):
            tensor = defense.repair(state).tensors[name]
            assert [float(value) == 0 for value in tensor] == [False, True, False, True, False]
    for name in ("first.weight", "head.weight", "norm.weight"):
        before, after = (taken[place][0].weights[name] for place in (2, 3))
        assert not torch.equal(before, after), "the rest is trained"
