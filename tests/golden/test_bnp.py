"""BNP's divergence by hand and by numerical integration, and the statistics that it compares."""

import math

import pytest
import torch
from torch import Tensor, nn

from invmask.defenses.base import Subject
from invmask.defenses.bnp import divergences, normal_divergence, statistics
from invmask.errors import UserError


class Net(nn.Module):
    """A convolution, a BatchNorm, a convolution without one."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 2, 1)
        self.norm = nn.BatchNorm2d(2)
        self.last = nn.Conv2d(2, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.norm(self.first(x))).mean((2, 3))


@pytest.fixture
def subject() -> Subject:
    torch.manual_seed(3)
    net = Net().double().eval().requires_grad_(False)
    net.norm.running_mean.copy_(torch.tensor([0.5, -0.2]))
    net.norm.running_var.copy_(torch.tensor([0.3, 2.0]))
    # More than one pass, and a last one that is smaller.
    return Subject(net, torch.rand(300, 3, 2, 2, dtype=torch.float64), 3)


def test_the_divergence_is_the_integral_that_defines_it() -> None:
    mean, variance, other_mean, other_variance = 0.3, 0.5, -1.0, 2.0
    x = torch.linspace(-30, 30, 600_001, dtype=torch.float64)

    def log_density(m: float, v: float) -> Tensor:
        return -((x - m) ** 2) / (2 * v) - math.log(2 * math.pi * v) / 2

    one, other = log_density(mean, variance), log_density(other_mean, other_variance)
    integral = float(torch.trapezoid(one.exp() * (one - other), x))
    found = normal_divergence(*(torch.tensor(v, dtype=torch.float64) for v in (mean, variance, other_mean, 2.0)))
    assert float(found) == pytest.approx(integral, rel=1e-9)
    # log(2) + (0.5 + 1.69) / 4 - 1/2, for the standard deviations' ratio is 2.
    assert float(found) == pytest.approx(math.log(2) + 2.19 / 4 - 0.5)


def test_each_channel_has_the_divergence_of_its_values_on_all_clean_images(subject: Subject) -> None:
    net = subject.model
    values = net.first(subject.images).transpose(0, 1).flatten(1)
    found = divergences(subject)
    for channel, own in enumerate(values):
        known, spread = float(net.norm.running_mean[channel]), float(net.norm.running_var[channel]) + 1e-5
        mean, variance = float(own.mean()), float(own.var(correction=0)) + 1e-5
        expected = math.log(math.sqrt(spread / variance)) + (variance + (mean - known) ** 2) / (2 * spread) - 0.5
        assert float(found[channel]) == pytest.approx(expected, rel=1e-9)
    assert found[2:].tolist() == [0, 0, 0], "no BatchNorm, nothing to compare"
    assert not net.norm._forward_pre_hooks


def test_statistics_are_over_images_and_positions(subject: Subject) -> None:
    (pair,) = statistics(subject, {subject.model.norm}).values()
    values = subject.model.first(subject.images).transpose(0, 1).flatten(1)
    torch.testing.assert_close(pair[0], values.mean(1))
    torch.testing.assert_close(pair[1], values.var(1, correction=0))


def test_a_network_without_batchnorm_is_refused_in_one_sentence(subject: Subject) -> None:
    subject.model.norm = nn.Identity()
    with pytest.raises(UserError, match="BNP compares BatchNorms"):
        divergences(subject)
