"""Two epochs of fine-tuning against SGD written out by hand in float64, BatchNorm's statistics included."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from invmask.defenses.base import Subject
from invmask.defenses.ft import FT, FTConfig
from invmask.defenses.tuning import moved

RATE, MOMENTUM, DECAY, BATCH = 0.05, 0.8, 0.02, 3


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
def subject() -> Subject:
    torch.manual_seed(7)
    net = Net().double().eval().requires_grad_(False)
    return Subject(
        net, torch.rand(6, 3, 6, 6, dtype=torch.float64), 3, mirrors=False, labels=torch.tensor([0, 1, 2, 0, 1, 2])
    )


def expected(subject: Subject, epochs: int) -> tuple[dict[str, Tensor], list[float]]:
    """Weights after some epochs, and each epoch's mean loss."""
    weights = {name: tensor.clone() for name, tensor in subject.model.state_dict().items()}
    names = [name for name, _ in subject.model.named_parameters()]
    velocity: dict[str, Tensor] = {}
    generator, means = torch.Generator().manual_seed(3), []
    for _ in range(epochs):
        total, order = 0.0, torch.randperm(6, generator=generator)
        for chosen in (order[:BATCH], order[BATCH:]):
            draw_crops(generator, len(chosen))
            free = {name: weights[name].clone().requires_grad_() for name in names}
            x = F.conv2d(subject.images[chosen], free["first.weight"], free["first.bias"])
            mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3), correction=0)
            count = x.numel() / 4
            weights["norm.running_mean"] = 0.9 * weights["norm.running_mean"] + 0.1 * mean.detach()
            unbiased = variance.detach() * count / (count - 1)
            weights["norm.running_var"] = 0.9 * weights["norm.running_var"] + 0.1 * unbiased
            x = (x - mean.view(1, -1, 1, 1)) / (variance.view(1, -1, 1, 1) + 1e-5).sqrt()
            x = x * free["norm.weight"].view(1, -1, 1, 1) + free["norm.bias"].view(1, -1, 1, 1)
            x = torch.where(x > 0, x, torch.exp(x) - 1).mean((2, 3))
            logits = x @ free["head.weight"].T + free["head.bias"]
            true = logits[range(len(chosen)), subject.labels[chosen]]
            loss = (torch.exp(logits).sum(1).log() - true).mean()
            loss.backward()
            total += float(loss.detach()) * len(chosen)
            for name in names:
                gradient = free[name].grad + DECAY * weights[name]
                velocity[name] = gradient if name not in velocity else MOMENTUM * velocity[name] + gradient
                weights[name] = weights[name] - RATE * velocity[name]
        means.append(total / 6)
    return weights, means


def draw_crops(generator: torch.Generator, count: int) -> None:
    """What a crop without padding draws, and leaves the images as they are."""
    torch.randint(0, 1, (2, count, 1), generator=generator)


def test_two_epochs_are_sgd_by_hand(subject: Subject) -> None:
    config = FTConfig(
        epochs=2,
        learning_rate=RATE,
        momentum=MOMENTUM,
        weight_decay=DECAY,
        batch_size=BATCH,
        crop_padding=0,
        seed=3,
    )
    defense = FT(config)
    state, records = defense.init(subject), []
    while defense.done(state) is None:
        state, record = defense.step(subject, state)
        records.append(record)
    weights, means = expected(subject, 2)
    for name, tensor in weights.items():
        if name != "norm.num_batches_tracked":
            torch.testing.assert_close(state.weights[name], tensor, rtol=1e-9, atol=1e-12)
    assert [record.terms["cross entropy"] for record in records] == pytest.approx(means, rel=1e-9)
    assert int(state.weights["norm.num_batches_tracked"]) == 4


def test_how_far_the_weights_moved_is_a_share_of_their_length(subject: Subject) -> None:
    weights = dict(subject.model.state_dict())
    assert moved(subject.model, weights) == 0
    assert moved(subject.model, {name: 1.5 * tensor for name, tensor in weights.items()}) == pytest.approx(0.5)


def test_a_single_image_left_over_is_left_out(subject: Subject) -> None:
    state, record = FT(FTConfig(batch_size=5, crop_padding=0)).step(subject, FT(FTConfig()).init(subject))
    assert int(state.weights["norm.num_batches_tracked"]) == 1
    assert record.round == 1
