"""RNP's two trainings by hand in float64: ascent of the clipped loss on the weights, then descent of it on the mask."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from invmask.defenses.base import Subject
from invmask.defenses.rnp import LARGEST_GRADIENT, RECOVER, RNP, UNLEARN, RNPConfig, masked_logits
from invmask.defenses.thresholds import CUT
from invmask.masks.state import View

RATE, MOMENTUM, DECAY, BATCH = 0.05, 0.8, 5e-4, 3


class Net(nn.Module):
    """A convolution and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.elu(self.first(x)).mean((2, 3)))


@pytest.fixture
def subject() -> Subject:
    torch.manual_seed(9)
    net = Net().double().eval().requires_grad_(False)
    # So large that the clipping of the gradient matters.
    net.head.weight.mul_(200)
    return Subject(
        net, torch.rand(6, 3, 6, 6, dtype=torch.float64), 3, mirrors=False, labels=torch.tensor([0, 1, 2, 0, 1, 2])
    )


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch) -> RNPConfig:
    monkeypatch.setattr("invmask.defenses.tuning.augment", lambda images, *_, **__: images)
    return RNPConfig(
        unlearning_rate=RATE, learning_rate=0.3, momentum=MOMENTUM, batch_size=BATCH, accuracy_unlearned=0.0, seed=3
    )


def loss(weights: dict[str, Tensor], x: Tensor, labels: Tensor, gates: Tensor) -> Tensor:
    """The cross entropy with the gates written into the forward pass."""
    x = F.conv2d(x, weights["first.weight"], weights["first.bias"]) * gates.view(1, -1, 1, 1)
    logits = torch.where(x > 0, x, torch.exp(x) - 1).mean((2, 3)) @ weights["head.weight"].T + weights["head.bias"]
    return (logits.logsumexp(1) - logits[range(len(labels)), labels]).mean()


def order() -> tuple[Tensor, Tensor]:
    drawn = torch.randperm(6, generator=torch.Generator().manual_seed(3))
    return drawn[:BATCH], drawn[BATCH:]


def test_unlearning_ascends_the_clipped_gradient(subject: Subject, config: RNPConfig) -> None:
    defense = RNP(config)
    state, record = defense.step(subject, defense.init(subject))
    weights, velocity, losses, clipped = dict(subject.model.state_dict()), {}, [], []
    for chosen in order():
        free = {name: tensor.clone().requires_grad_() for name, tensor in weights.items()}
        value = loss(free, subject.images[chosen], subject.labels[chosen], torch.ones(4))
        value.backward()
        losses.append(float(value.detach()))
        norm = torch.cat([tensor.grad.flatten() for tensor in free.values()]).norm()
        clipped.append(float(norm) > LARGEST_GRADIENT)
        for name, tensor in free.items():
            downhill = -tensor.grad * min(1.0, LARGEST_GRADIENT / (float(norm) + 1e-6)) + DECAY * weights[name]
            velocity[name] = downhill if name not in velocity else MOMENTUM * velocity[name] + downhill
            weights[name] = weights[name] - RATE * velocity[name]
    assert any(clipped)
    for name, tensor in weights.items():
        torch.testing.assert_close(state.weights[name], tensor, rtol=1e-8, atol=1e-10)
    assert record.terms["unlearned"] == pytest.approx(sum(losses) / 2)
    assert losses[1] > losses[0] or record.total < 0
    assert defense.repair(state).masks.gate(View.PRUNED).tolist() == pytest.approx([1] * 4), "the victim is as it was"


def test_the_mask_is_learned_on_the_unlearned_network(subject: Subject, config: RNPConfig) -> None:
    torch.manual_seed(1)
    weights = {name: torch.randn_like(tensor) for name, tensor in subject.model.state_dict().items()}
    defense = RNP(config)
    start = replace(defense.init(subject), stage=RECOVER, weights=weights)
    state, record = defense.step(subject, start)
    mask, velocity, losses = torch.ones(4).double(), torch.zeros(4).double(), []
    for chosen in order():
        free = mask.clone().requires_grad_()
        value = loss(weights, subject.images[chosen], subject.labels[chosen], free)
        value.backward()
        losses.append(float(value.detach()))
        velocity = MOMENTUM * velocity + 0.2 * free.grad
        mask = (mask - 0.3 * velocity).clamp(0, 1)
    assert float(mask.min()) < 1
    torch.testing.assert_close(state.mask, mask, rtol=1e-8, atol=1e-10)
    assert record.terms == {"recovered": pytest.approx(sum(losses) / 2)}
    assert record.total == pytest.approx(0.2 * sum(losses) / 2)


def test_the_stages_follow_each_other(subject: Subject, config: RNPConfig) -> None:
    config = replace(config, accuracy_unlearned=0.5, rounds_recover=2, unlearning_rate=1.0)
    defense = RNP(config)
    state, stages = defense.init(subject), []
    while defense.done(state) is None:
        before = state.stage
        state, record = defense.step(subject, state)
        stages.append(before)
        assert record.stage == before
        if before == UNLEARN and record.stage_ended:
            assert record.notes["accuracy of the copy on clean images"] <= 0.5
            assert "unlearned all but" in record.stage_ended
    assert stages[0] == UNLEARN
    assert stages.count(RECOVER) == 2
    assert stages[-1] == CUT
    assert not state.weights, "the copy is not kept for longer than it is needed"


class Normed(nn.Module):
    """A convolution with a BatchNorm."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.elu(self.norm(self.first(x))).mean((2, 3)))


def test_the_copys_mask_multiplies_what_its_batchnorm_returns(subject: Subject) -> None:
    torch.manual_seed(4)
    net = Normed().double().eval().requires_grad_(False)
    net.norm.bias.normal_()
    given, mask = replace(subject, model=net), torch.tensor([0.0, 0.3, 1.0, 0.7], dtype=torch.float64)
    weights = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    before = {name: tensor.clone() for name, tensor in weights.items()}
    copy = Normed().double()
    found = masked_logits(given, copy, weights, given.images, mask)
    x = net.first(given.images)
    mean, variance = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), correction=0, keepdim=True)
    x = (x - mean) / (variance + 1e-5).sqrt() * net.norm.weight.view(1, -1, 1, 1) + net.norm.bias.view(1, -1, 1, 1)
    torch.testing.assert_close(found, net.head(F.elu(mask.view(1, -1, 1, 1) * x).mean((2, 3))))
    assert all(torch.equal(weights[name], tensor) for name, tensor in before.items())
