"""ANP's central formula against an independent float64 computation, and its threshold on a network made for it."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from invmask.defenses import thresholds
from invmask.defenses.anp import ANP, ANPConfig, mask_gradient
from invmask.defenses.base import Subject
from invmask.defenses.cuts import as_masks
from invmask.defenses.thresholds import CUT, MaskState, hard
from invmask.masks.state import View

CLASSES, CHANNELS, EPSILON, ALPHA = 3, (4, 5), 0.3, 0.35


class Net(nn.Module):
    """A convolution with a bias, one without before a BatchNorm."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 5, 3, bias=False)
        self.norm = nn.BatchNorm2d(5)
        self.head = nn.Linear(5, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.elu(self.norm(self.second(F.elu(self.first(x))))).mean((2, 3)))


@pytest.fixture
def subject() -> Subject:
    torch.manual_seed(5)
    net = Net().double().eval().requires_grad_(False)
    net.norm.running_mean.normal_()
    net.norm.running_var.uniform_(0.5, 2)
    net.norm.bias.normal_()
    net.head.weight.mul_(5)
    images = torch.rand(6, 3, 7, 7, dtype=torch.float64)
    return Subject(net, images, CLASSES, labels=torch.tensor([0, 1, 2, 0, 1, 2]))


def loss(net: Net, x: Tensor, labels: Tensor, gates: Tensor, first: Tensor, norm: Tensor) -> Tensor:
    """The cross entropy with gates and moved biases written into the forward pass."""
    one, two = (gate.view(1, -1, 1, 1) for gate in gates.split(CHANNELS))
    bias = (net.first.bias * (1 + first)).view(1, -1, 1, 1)
    x = one * (F.conv2d(x, net.first.weight, padding=1) + bias)
    x = torch.where(x > 0, x, torch.exp(x) - 1)
    x = two * F.conv2d(x, net.second.weight)
    mean, deviation = net.norm.running_mean, (net.norm.running_var + net.norm.eps).sqrt()
    x = (x - mean.view(1, -1, 1, 1)) / deviation.view(1, -1, 1, 1) * net.norm.weight.view(1, -1, 1, 1)
    x = x + (net.norm.bias * (1 + norm)).view(1, -1, 1, 1)
    x = torch.where(x > 0, x, torch.exp(x) - 1)
    logits = x.mean((2, 3)) @ net.head.weight.T + net.head.bias
    return sum(torch.exp(row).sum().log() - row[true] for row, true in zip(logits, labels, strict=True)) / len(labels)


def test_the_gradient_is_that_of_the_formula(subject: Subject) -> None:
    net, x, labels = subject.model, subject.images, subject.labels
    mask = torch.rand(9, dtype=torch.float64)
    config = ANPConfig(disturbance=EPSILON, weight_clean=ALPHA)
    found, (clean, against) = mask_gradient(subject, mask, x, labels, config, torch.Generator().manual_seed(4))
    start = EPSILON * (2 * torch.rand(18, generator=torch.Generator().manual_seed(4)).double() - 1)
    free = start.clone().requires_grad_()
    delta, first, norm = free.split((9, 4, 5))
    loss(net, x, labels, mask + delta, first, norm).backward()
    worst = (start + EPSILON * free.grad.sign()).clamp(-EPSILON, EPSILON)
    assert float((worst.abs() - EPSILON).abs().min()) == 0, "one step reaches the border"
    assert len({bool(value > 0) for value in worst.tolist()}) == 2
    m = mask.clone().requires_grad_()
    zero = torch.zeros(9, dtype=torch.float64)
    plain = loss(net, x, labels, m, zero[:4], zero[:5])
    delta, first, norm = worst.split((9, 4, 5))
    disturbed = loss(net, x, labels, m + delta, first, norm)
    (ALPHA * plain + (1 - ALPHA) * disturbed).backward()
    assert clean == pytest.approx(float(plain.detach()), rel=1e-6)
    assert against == pytest.approx(float(disturbed.detach()), rel=1e-6)
    assert against > clean
    torch.testing.assert_close(found, m.grad, rtol=1e-5, atol=1e-9)


def test_a_round_takes_sgd_steps_with_momentum_and_stays_in_range(subject: Subject) -> None:
    config = ANPConfig(iterations=3, learning_rate=0.7, momentum=0.5, disturbance=EPSILON, seed=2)
    defense, generator = ANP(config), torch.Generator().manual_seed(2)
    after, record = defense.step(subject, defense.init(subject))
    mask, velocity = torch.ones(9, dtype=torch.float64), torch.zeros(9, dtype=torch.float64)
    losses = []
    for _ in range(3):
        order = torch.randperm(6, generator=generator)
        images, labels = subject.images[order], subject.labels[order]
        gradient, both = mask_gradient(subject, mask, images, labels, config, generator)
        velocity = 0.5 * velocity + gradient
        mask = (mask - 0.7 * velocity).clamp(0, 1)
        losses.append(both)
    torch.testing.assert_close(after.mask, mask)
    assert record.terms["clean"] == pytest.approx(sum(clean for clean, _ in losses) / 3)
    assert record.terms["disturbed"] == pytest.approx(sum(against for _, against in losses) / 3)
    assert float(mask.min()) < 1


def test_the_threshold_is_the_largest_that_keeps_the_accuracy(
    subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    defense = ANP(ANPConfig(threshold_step=0.2, most_threshold=0.9, accuracy_kept=0.9))
    mask = torch.tensor([0.1, 0.3, 0.5, 0.7, 1, 1, 1, 1, 1], dtype=torch.float64)
    # By the number of channels cut: up to two cost little, a third one too much.
    accuracies = (0.8, 0.79, 0.75, 0.69)
    monkeypatch.setattr(thresholds, "accuracy_with", lambda _, gates, *__: accuracies[int((gates == 0).sum())])
    state = MaskState(mask, mask * 0, torch.Generator().get_state(), CUT)
    found = []
    while defense.done(state) is None:
        state, record = defense.step(subject, state)
        found.append((record.notes["threshold"], record.counts["pruned"]))
    assert found == [(pytest.approx(0.2), 1), (pytest.approx(0.4), 2), (pytest.approx(0.4), 2)]
    assert "would keep 86 % of the accuracy" in defense.done(state)
    gates = defense.repair(state).masks.gate(View.PRUNED)
    assert (gates < 1e-6).tolist() == [True, True] + [False] * 7
    assert gates[2:].tolist() == pytest.approx([1] * 7)


def test_masks_say_the_gates_and_their_complement() -> None:
    gates = torch.tensor([0, 1e-3, 0.25, 0.5, 0.999, 1], dtype=torch.float64)
    masks = as_masks(gates)
    torch.testing.assert_close(masks.gate(View.PRUNED), gates, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(masks.gate(View.INVERSE), 1 - gates, rtol=1e-6, atol=1e-8)
    assert hard(gates, 0.5).tolist() == [0, 0, 0, 1, 1, 1]
