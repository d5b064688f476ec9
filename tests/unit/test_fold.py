"""Folded weights answer as the masked network does, to the last digits of float64; what cannot be folded is kept."""

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from invmask.masks.attach import attached
from invmask.masks.fold import fold
from invmask.masks.state import MaskLayout
from tests.conftest import make_narrow


class Chain(nn.Module):
    """A convolution with bias before BatchNorm, one without before an addition, a grouped one with bias at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.normed = nn.Conv2d(3, 6, 3, padding=1, bias=True)
        self.norm = nn.BatchNorm2d(6)
        self.added = nn.Conv2d(6, 6, 3, padding=1, bias=False)
        self.grouped = nn.Conv2d(6, 4, 3, groups=2, stride=2, bias=True)
        nn.init.normal_(self.norm.running_mean)
        nn.init.uniform_(self.norm.running_var, 0.5, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.normed(x)))
        x = self.added(self.added(x)) + x
        return self.grouped(x).mean((2, 3))


class Sharing(Chain):
    """`twin` has the filters of `added`, and `tied` the bias of `twin`."""

    def __init__(self) -> None:
        super().__init__()
        self.twin = nn.Conv2d(6, 6, 3, padding=1, bias=True)
        self.tied = nn.Conv2d(6, 6, 1, bias=True)
        self.twin.weight = self.added.weight
        self.tied.bias = self.twin.bias

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.normed(x)))
        return self.grouped(self.tied(self.added(x) + self.twin(x))).mean((2, 3))


def parametrized() -> nn.Module:
    model = Chain()
    parametrizations.weight_norm(model.added)
    return model


NETWORKS = {
    "chain": Chain,
    "sharing": Sharing,
    "parametrized": parametrized,
    "preactresnet": make_narrow,
    "mobilenet": lambda: torchvision.models.mobilenet_v3_small(weights=None, num_classes=10),
}


@pytest.fixture(params=NETWORKS)
def network(request: pytest.FixtureRequest) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return NETWORKS[request.param]().double().eval().requires_grad_(False)


def random_gates(layout: MaskLayout) -> Tensor:
    gates = torch.rand(layout.channels, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    gates[::5], gates[1::5] = 0, 1
    return gates


def masked(model: nn.Module, layout: MaskLayout, gates: Tensor, images: Tensor) -> Tensor:
    with attached(model, layout, gates):
        return model(images)


IMAGES = torch.rand(4, 3, 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def test_folded_weights_answer_as_the_masked_network(network):
    before = {key: value.clone() for key, value in network.state_dict().items()}
    layout = MaskLayout.of(network)
    gates = random_gates(layout)
    wanted = masked(network, layout, gates, IMAGES)
    folded = fold(network, layout, gates)
    largest = float(wanted.abs().max())
    torch.testing.assert_close(folded.run(IMAGES), wanted, rtol=0, atol=1e-10 * largest)
    # The gates do something, and the network itself is as it was.
    assert float((wanted - network(IMAGES)).abs().max()) > 0.01 * largest
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert not any(module._forward_hooks for module in folded.model.modules())


def test_what_cannot_be_folded_is_kept():
    kept = {}
    for name, make in NETWORKS.items():
        model = make()
        layout = MaskLayout.of(model)
        folded = fold(model, layout, random_gates(layout).float())
        kept[name] = list(folded.gates)
        assert (folded.remaining() is None) == (not kept[name])
    assert kept.pop("sharing") == ["added", "twin", "tied"]
    assert kept.pop("parametrized") == ["added"]
    assert not any(kept.values())


def test_shared_filters_with_equal_gates_are_folded_once():
    model = Sharing().double().eval()
    model.tied = nn.Identity()
    layout = MaskLayout.of(model)
    gates = torch.ones(layout.channels, dtype=torch.float64)
    for layer in layout.layers:
        if layer.name in ("added", "twin"):
            gates[layer.slice] = torch.linspace(0, 1, 6)
    folded = fold(model, layout, gates)
    assert not folded.gates
    torch.testing.assert_close(folded.run(IMAGES), masked(model, layout, gates, IMAGES), rtol=1e-11, atol=1e-12)


def test_filters_that_are_no_convolutions_too_are_left_alone():
    model = nn.Sequential(nn.Conv2d(3, 3, 1, bias=False), nn.ConvTranspose2d(3, 3, 1, bias=False))
    model[1].weight = model[0].weight
    layout = MaskLayout.of(model)
    folded = fold(model, layout, torch.full((3,), 0.5))
    assert list(folded.gates) == ["0"]
    assert torch.equal(folded.model[1].weight, model[1].weight)
