"""CLP's bound on filters whose singular values are known by hand, and the thresholds that CLP and BNP share."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from invmask.defenses import outliers
from invmask.defenses.base import Subject, drive
from invmask.defenses.clean_images import Judgement
from invmask.defenses.clp import CLP, lipschitz_bounds
from invmask.defenses.cuts import cut_weights
from invmask.defenses.outliers import OutlierConfig, standing_out
from invmask.errors import UserError
from invmask.masks.repair import network_of
from invmask.masks.state import MaskLayout, View


class Net(nn.Module):
    """A convolution with a BatchNorm, two that are added before one BatchNorm, and one without."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 3, 3, padding=1)
        self.norm = nn.BatchNorm2d(3)
        self.second = nn.Conv2d(3, 4, 1, bias=False)
        self.beside = nn.Conv2d(3, 4, 1, bias=False)
        self.behind = nn.BatchNorm2d(4)
        self.last = nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.first(x)))
        return self.last(F.relu(self.behind(self.second(x) + self.beside(x)))).mean((2, 3))


@pytest.fixture
def subject() -> Subject:
    torch.manual_seed(2)
    net = Net().double().eval().requires_grad_(False)
    for norm in (net.norm, net.behind):
        norm.eps = 0.0
        norm.running_var.fill_(4)
        norm.bias.normal_()
    return Subject(net, torch.rand(6, 2, 5, 5, dtype=torch.float64), 2, labels=torch.tensor([0, 1] * 3))


def test_the_bound_is_the_largest_singular_value_times_the_gain(subject: Subject) -> None:
    net = subject.model
    filters = torch.zeros(3, 2, 9, dtype=torch.float64)
    # Orthogonal rows of lengths 3 and 5: the largest singular value is 5, and not the Frobenius norm.
    filters[0, 0, 0], filters[0, 1, 3:5] = 3, torch.tensor([3.0, 4.0])
    # Two equal rows (1, 2, 2): the matrix has rank 1 and the value sqrt(2) * 3.
    filters[1, :, 5:8] = torch.tensor([1.0, 2.0, 2.0])
    filters[2, 1, 8] = -7
    net.first.weight.copy_(filters.view_as(net.first.weight))
    net.norm.weight.copy_(torch.tensor([2.0, -1.0, 0.5]))
    net.last.weight.copy_(torch.tensor([[1.0, 2.0, 2.0, 4.0], [0.0, 0.0, 3.0, 0.0]]).view(2, 4, 1, 1))
    net.behind.weight.fill_(3)
    found = lipschitz_bounds(subject)
    # The standard deviation is 2.
    expected = [5 * 2 / 2, 3 * 2**0.5 / 2, 7 * 0.5 / 2]
    assert found[:3].tolist() == pytest.approx(expected)
    of_second = net.second.weight.flatten(1).norm(dim=1) * 3 / 2
    of_beside = net.beside.weight.flatten(1).norm(dim=1) * 3 / 2
    torch.testing.assert_close(found[3:11], torch.cat([of_second, of_beside]))
    assert found[11:].tolist() == pytest.approx([5, 3]), "a convolution without BatchNorm has its own bound"


def test_a_score_is_compared_with_its_own_layer_only(subject: Subject) -> None:
    scores = torch.tensor([1, 2, 6, 7, 7, 7, 7, 0, 0, 0, 10, 3, 3]).double()
    above = standing_out(scores, subject.layout)
    # Mean 3 and standard deviation sqrt(7); then equal ones; then mean 2.5 and standard deviation 5.
    assert above.tolist() == pytest.approx(
        [-2 / 7**0.5, -1 / 7**0.5, 3 / 7**0.5, 0, 0, 0, 0, -0.5, -0.5, -0.5, 1.5, 0, 0]
    )


def test_a_cut_channel_leaves_nothing_behind_its_batchnorm(subject: Subject) -> None:
    net, gates = subject.model, torch.ones(13, dtype=torch.float64)
    gates[[1, 3, 9, 12]] = 0
    changed, count = cut_weights(subject, gates)
    assert count == 4
    x = F.relu(net.norm(net.first(subject.images))) * torch.tensor([1.0, 0, 1]).view(1, -1, 1, 1)
    x = F.relu(net.behind(net.second(x) + net.beside(x))) * torch.tensor([0.0, 1, 0, 1]).view(1, -1, 1, 1)
    x = net.last(x) * torch.tensor([1.0, 0]).view(1, -1, 1, 1)
    repaired = network_of(outliers.Weights(changed), net, View.REPAIRED)
    torch.testing.assert_close(repaired(subject.images), x.mean((2, 3)))
    gates = torch.ones(13, dtype=torch.float64)
    gates[[3, 7]] = 0
    assert cut_weights(subject, gates)[1] == 1, "two convolutions before one BatchNorm are one channel"


def test_the_threshold_falls_while_the_accuracy_is_kept(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    # The first is of the unchanged network; the third threshold costs too much.
    accuracies = iter((0.8, 0.8, 0.73, 0.71))
    monkeypatch.setattr(outliers, "judge", lambda *_: Judgement(next(accuracies), 0.5))
    config = OutlierConfig(threshold=1.25, threshold_step=0.5, last_threshold=0.0, accuracy_kept=0.9)
    defense = CLP(config)
    start = replace(defense.init(subject), above=torch.tensor([1.3, 1, 0.5] + [0.0] * 10).double())
    taken = list(drive(defense, subject, start))
    assert [record.notes["threshold"] for _, record in taken] == [1.25, 0.75, 0.75]
    assert [record.counts["cut"] for _, record in taken] == [1, 2, 2]
    assert "would keep 89 % of the accuracy" in defense.done(taken[-1][0])
    factor = torch.tensor([0.0, 0, 1])
    torch.testing.assert_close(
        defense.repair(taken[-1][0]).tensors["norm.weight"], subject.model.norm.weight * factor.double()
    )


def test_the_published_threshold_asks_for_no_accuracy(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outliers, "judge", lambda *_: Judgement(0.0, 0.5))
    defense = CLP(OutlierConfig())
    start = replace(defense.init(subject), above=torch.tensor([3.1, 2.9, 0] + [0.0] * 10).double())
    ((state, record),) = drive(defense, subject, start)
    assert record.counts["cut"] == 1
    assert defense.done(state)


def test_a_network_of_encoder_blocks_is_refused_in_one_sentence(subject: Subject) -> None:
    given = replace(subject)
    given.__dict__["layout"] = MaskLayout(())
    with pytest.raises(UserError, match="needs convolutions"):
        lipschitz_bounds(given)
