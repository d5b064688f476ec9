"""A view under constant gates answers as the network with its gates attached, and leaves the network as it was."""

import pytest
import torch
from torch import Tensor, fx, nn
from torch.nn.utils import parametrizations

from invmask.masks import constant
from invmask.masks.attach import attached
from invmask.masks.constant import ConstantView, norms_behind_convolutions
from invmask.masks.state import MaskLayout
from invmask.victims.victim import new_model
from tests.unit.test_fold import IMAGES, NETWORKS, Chain, network, random_gates  # noqa: F401


class Twice(Chain):
    """The convolution before the norm is heard by somebody else too, as a residual network's first one is."""

    def forward(self, x: Tensor) -> Tensor:
        first = self.normed(x)
        return self.grouped(torch.relu(self.norm(first)) + first).mean((2, 3))


class TiedFilters(Chain):
    """The convolution before the norm has the filters of another one, which no norm follows."""

    def __init__(self) -> None:
        super().__init__()
        self.mirror = nn.Conv2d(3, 6, 3, padding=1, bias=False)
        self.mirror.weight = self.normed.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.grouped(torch.relu(self.norm(self.normed(x))) + self.mirror(x)).mean((2, 3))


def parametrized_before_the_norm() -> nn.Module:
    model = Chain()
    parametrizations.weight_norm(model.normed)
    return model


class Branching(Chain):
    """Goes where no tracer follows."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if float(x.sum()) > 0 else super().forward(-x)


def masked(model: nn.Module, gates: Tensor) -> Tensor:
    with torch.no_grad(), attached(model, MaskLayout.of(model), gates):
        return model(IMAGES)


def test_a_constant_view_answers_as_the_masked_network(network):  # noqa: F811
    layout = MaskLayout.of(network)
    gates = random_gates(layout)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    images = IMAGES.clone().requires_grad_()
    answers = ConstantView(network, layout, gates)(images)
    wanted = masked(network, gates)
    torch.testing.assert_close(answers, wanted, rtol=0, atol=1e-10 * float(wanted.abs().max()))
    (gradient,) = torch.autograd.grad(answers.square().sum(), [images])
    same = IMAGES.clone().requires_grad_()
    with attached(network, layout, gates):
        (expected,) = torch.autograd.grad(network(same).square().sum(), [same])
    torch.testing.assert_close(gradient, expected, rtol=0, atol=1e-10 * float(expected.abs().max()))
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize("make", [Twice, Branching])
def test_norms_that_cannot_be_folded_stay(make):
    model = make().double().eval()
    assert norms_behind_convolutions(model) == []
    gates = random_gates(MaskLayout.of(model))
    answers = ConstantView(model, MaskLayout.of(model), gates)(IMAGES)
    torch.testing.assert_close(answers, masked(model, gates), rtol=1e-10, atol=1e-12)


def test_the_norms_right_behind_a_convolution_are_found():
    assert norms_behind_convolutions(Chain()) == [("normed", "norm")]
    blocks = [f"network.layer{stage}.{block}" for stage in range(1, 5) for block in range(2)]
    # The second norm of each block: before its first one comes an addition.
    assert norms_behind_convolutions(NETWORKS["preactresnet"]()) == [(f"{b}.conv1", f"{b}.bn2") for b in blocks]


def test_other_threads_may_run_networks_while_one_is_looked_through():
    call, seen = nn.Module.__call__, []

    class Watching(Chain):
        def forward(self, x: Tensor) -> Tensor:
            # What torch's own tracer exchanges for all threads.
            seen.append(nn.Module.__call__ is call)
            return super().forward(x)

    assert norms_behind_convolutions(Watching()) == [("normed", "norm")]
    assert seen == [True]


@pytest.mark.parametrize("architecture", ["vgg6bn", "vitw32", "resnet20", "efficientnetb3w8"])
def test_the_graph_is_the_one_that_torch_sees(architecture):
    def calls(graph: fx.Graph) -> list[str]:
        return [str(node.target) for node in graph.nodes if node.op == "call_module"]

    model = new_model("cifar10", architecture).eval()
    assert calls(constant._graph(model)) == calls(fx.Tracer().trace(model))


@pytest.mark.parametrize("make", [TiedFilters, parametrized_before_the_norm])
@pytest.mark.parametrize("alike", [True, False], ids=["gates alike", "gates apart"])
def test_filters_that_are_not_a_convolutions_own_stay(make, alike):
    with torch.random.fork_rng():
        torch.manual_seed(5)
        model = make().double().eval().requires_grad_(False)
    layout = MaskLayout.of(model)
    gates = random_gates(layout)
    if alike:
        # Then the shared filters hold their gates, and only the norm is at stake.
        for layer in layout.layers:
            gates[layer.slice] = torch.linspace(0, 1, layer.channels)
    # A convolution whose filters are computed is no plain one any more.
    assert (("normed", "norm") in norms_behind_convolutions(model)) == (make is TiedFilters)
    answers = ConstantView(model, layout, gates)(IMAGES)
    torch.testing.assert_close(answers, masked(model, gates), rtol=1e-10, atol=1e-12)


def test_a_norm_in_training_mode_is_not_folded():
    model = Chain().double()
    gates = torch.ones(MaskLayout.of(model).channels, dtype=torch.float64)
    view = ConstantView(model, MaskLayout.of(model), gates)
    # Batch statistics, not the running ones, which differ a great deal here.
    torch.testing.assert_close(view(IMAGES), model(IMAGES))


def test_logits_of_half_precision_come_as_float32():
    model = Chain().bfloat16().eval()
    layout = MaskLayout.of(model)
    assert ConstantView(model, layout, torch.ones(layout.channels))(IMAGES.bfloat16()).dtype == torch.float32
