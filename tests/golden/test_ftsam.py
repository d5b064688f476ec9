"""A step of FT-SAM by hand in float64: the disturbance of the weights, and SGD with the gradient found there."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from invmask.defenses.base import Subject
from invmask.defenses.ftsam import FTSAM, FTSAMConfig

RATE, MOMENTUM, DECAY, RADIUS, SMOOTHING = 0.05, 0.8, 0.02, 0.7, 0.3


class Net(nn.Module):
    """A convolution, a BatchNorm, a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.elu(self.norm(self.first(x))).mean((2, 3)))


@pytest.fixture
def subject(monkeypatch: pytest.MonkeyPatch) -> Subject:
    monkeypatch.setattr("invmask.defenses.tuning.augment", lambda images, *_, **__: images)
    torch.manual_seed(7)
    net = Net().double().eval().requires_grad_(False)
    images = torch.rand(6, 3, 6, 6, dtype=torch.float64)
    return Subject(net, images, 3, labels=torch.tensor([0, 1, 2, 0, 1, 2]))


def loss(weights: dict[str, Tensor], x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The smoothed cross entropy with the batch's own statistics, and the batch's mean before the BatchNorm."""
    x = F.conv2d(x, weights["first.weight"], weights["first.bias"])
    mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3), correction=0)
    x = (x - mean.view(1, -1, 1, 1)) / (variance.view(1, -1, 1, 1) + 1e-5).sqrt()
    x = x * weights["norm.weight"].view(1, -1, 1, 1) + weights["norm.bias"].view(1, -1, 1, 1)
    x = torch.where(x > 0, x, torch.exp(x) - 1).mean((2, 3))
    logs = (x @ weights["head.weight"].T + weights["head.bias"]).log_softmax(1)
    wanted = torch.full_like(logs, SMOOTHING / 3)
    wanted[range(len(labels)), labels] += 1 - SMOOTHING
    return -(wanted * logs).sum(1).mean(), mean.detach()


def gradients(weights: dict[str, Tensor], x: Tensor, labels: Tensor) -> tuple[dict[str, Tensor], float, Tensor]:
    free = {name: tensor.clone().requires_grad_() for name, tensor in weights.items()}
    value, mean = loss(free, x, labels)
    value.backward()
    return {name: tensor.grad for name, tensor in free.items()}, float(value.detach()), mean


def test_a_step_descends_the_loss_at_the_worst_weights_near_by(subject: Subject) -> None:
    config = FTSAMConfig(
        epochs=2,
        learning_rate=RATE,
        momentum=MOMENTUM,
        weight_decay=DECAY,
        radius=RADIUS,
        label_smoothing=SMOOTHING,
        seed=3,
    )
    defense = FTSAM(config)
    state, records = defense.init(subject), []
    while defense.done(state) is None:
        state, record = defense.step(subject, state)
        records.append(record)
    weights = {name: tensor.clone() for name, tensor in subject.model.named_parameters()}
    running, velocity, generator = torch.zeros(4).double(), {}, torch.Generator().manual_seed(3)
    for record in records:
        order = torch.randperm(6, generator=generator)
        x, labels = subject.images[order], subject.labels[order]
        first, plain, mean = gradients(weights, x, labels)
        # ||T g|| over all parameters together, T = diag(|w|).
        length = torch.cat([(weights[name] * first[name]).flatten() for name in weights]).norm()
        moved = {name: weights[name] + RADIUS * weights[name] ** 2 * first[name] / length for name in weights}
        shift = torch.cat([((moved[n] - weights[n]) / weights[n]).nan_to_num(0).flatten() for n in weights]).norm()
        assert float(shift) == pytest.approx(RADIUS), "its length relative to the weights is the radius"
        second, worst, _ = gradients(moved, x, labels)
        for name, own in tuple(weights.items()):
            downhill = second[name] + DECAY * own
            velocity[name] = downhill if name not in velocity else MOMENTUM * velocity[name] + downhill
            weights[name] = own - RATE * velocity[name]
        running = 0.9 * running + 0.1 * mean
        assert record.terms == {
            "cross entropy": pytest.approx(plain, rel=1e-6),
            "worst": pytest.approx(worst, rel=1e-6),
        }
        assert worst > plain
    for name, tensor in weights.items():
        torch.testing.assert_close(state.weights[name], tensor, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(state.weights["norm.running_mean"], running, rtol=1e-6, atol=1e-8)
    assert int(state.weights["norm.num_batches_tracked"]) == 2, "statistics are taken at the weights themselves only"
