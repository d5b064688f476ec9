"""A step of FST by hand in float64: a new classifier, driven away from the old one and kept as long as it."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from invmask.defenses.base import Subject
from invmask.defenses.fst import FST, FSTConfig, classifier_of
from invmask.errors import UserError

RATE, MOMENTUM, DECAY, ALPHA = 0.05, 0.8, 0.02, 0.6


class Net(nn.Module):
    """A convolution and two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3)
        self.middle = nn.Linear(4, 5)
        self.head = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.elu(self.middle(F.elu(self.first(x)).mean((2, 3)))))


@pytest.fixture
def subject(monkeypatch: pytest.MonkeyPatch) -> Subject:
    monkeypatch.setattr("invmask.defenses.tuning.augment", lambda images, *_, **__: images)
    torch.manual_seed(8)
    net = Net().double().eval().requires_grad_(False)
    images = torch.rand(6, 3, 6, 6, dtype=torch.float64)
    return Subject(net, images, 3, labels=torch.tensor([0, 1, 2, 0, 1, 2]))


def loss(weights: dict[str, Tensor], x: Tensor, labels: Tensor) -> Tensor:
    x = F.conv2d(x, weights["first.weight"], weights["first.bias"])
    x = torch.where(x > 0, x, torch.exp(x) - 1).mean((2, 3)) @ weights["middle.weight"].T + weights["middle.bias"]
    logits = torch.where(x > 0, x, torch.exp(x) - 1) @ weights["head.weight"].T + weights["head.bias"]
    return (logits.logsumexp(1) - logits[range(len(labels)), labels]).mean()


def test_two_epochs_are_the_formula_by_hand(subject: Subject) -> None:
    config = FSTConfig(epochs=2, learning_rate=RATE, momentum=MOMENTUM, weight_decay=DECAY, weight_shift=ALPHA, seed=3)
    defense = FST(config)
    state, records = defense.init(subject), []
    while defense.done(state) is None:
        state, record = defense.step(subject, state)
        records.append(record)
    weights = {name: tensor.clone() for name, tensor in subject.model.named_parameters()}
    old, velocity, generator = weights["head.weight"].clone(), {}, torch.Generator().manual_seed(3)
    weights["head.weight"] = (2 * torch.rand(3, 5, generator=generator).double() - 1) / 5**0.5
    weights["head.bias"] = (2 * torch.rand(3, generator=generator).double() - 1) / 5**0.5
    for record in records:
        order = torch.randperm(6, generator=generator)
        free = {name: tensor.clone().requires_grad_() for name, tensor in weights.items()}
        plain, inner = loss(free, subject.images[order], subject.labels[order]), 0.0
        for row, old_row in zip(free["head.weight"], old, strict=True):
            inner = inner + row @ old_row
        (plain + ALPHA * inner).backward()
        for name, own in tuple(weights.items()):
            downhill = free[name].grad + DECAY * own
            velocity[name] = downhill if name not in velocity else MOMENTUM * velocity[name] + downhill
            weights[name] = own - RATE * velocity[name]
        weights["head.weight"] = weights["head.weight"] / weights["head.weight"].norm() * old.norm()
        assert record.terms == {
            "cross entropy": pytest.approx(float(plain.detach())),
            "likeness": pytest.approx(float(inner.detach())),
        }
        assert record.total == pytest.approx(float((plain + ALPHA * inner).detach()))
    for name, tensor in weights.items():
        torch.testing.assert_close(state.weights[name], tensor, rtol=1e-6, atol=1e-8)
    assert records[1].terms["likeness"] < records[0].terms["likeness"]


def test_the_classifier_is_the_last_linear_layer(subject: Subject) -> None:
    assert classifier_of(subject.model) == "head"
    with pytest.raises(UserError, match="last linear layer"):
        classifier_of(nn.Conv2d(3, 3, 1))
