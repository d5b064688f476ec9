"""Masks on real networks: where they go, what they do to logits, and that they leave no trace."""

import copy
import dataclasses

import pytest
import torch
import torchvision
from torch import Tensor, nn

from invmask.data.images import LabelledImages
from invmask.masks import edit
from invmask.masks.attach import attached, gated_logits, sharing_copy
from invmask.masks.state import GATED, MaskedLayer, MaskLayout, Masks, View
from invmask.models import Classifier, build


def hooks(model: nn.Module) -> int:
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())


def random_masks(layout: MaskLayout, seed: int = 0, dtype: torch.dtype = torch.float32) -> Masks:
    generator = torch.Generator().manual_seed(seed)
    mask, selection = torch.rand(2, layout.channels, generator=generator, dtype=dtype)
    return Masks(mask, selection)


def images(count: int = 5, seed: int = 0) -> Tensor:
    return torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(seed))


class Residual(nn.Module):
    """Convolutions in another order than they run in, two of them in a shortcut and a list."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Conv2d(7, 5, 1)
        self.branches = nn.ModuleList([nn.Conv2d(3, 7, 3, padding=1), nn.Conv2d(3, 7, 1)])
        self.head = nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        mixed = self.branches[0](x) + self.branches[1](x)
        return self.head(torch.relu(self.last(mixed)).mean((2, 3)))


NETWORKS = {
    "preactresnet18w4": lambda: build("preactresnet18w4", 10),
    "resnet18": lambda: torchvision.models.resnet18(weights=None, num_classes=10),
    "mobilenet_v3_small": lambda: torchvision.models.mobilenet_v3_small(weights=None, num_classes=10),
    "residual": Residual,
}


@pytest.fixture(params=sorted(NETWORKS))
def network(request: pytest.FixtureRequest) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return NETWORKS[request.param]().eval()


def test_the_layout_covers_every_convolution_in_module_order(network: nn.Module):
    layout = MaskLayout.of(network)
    convolutions = {name: module for name, module in network.named_modules() if isinstance(module, nn.Conv2d)}
    assert [layer.name for layer in layout.layers] == list(convolutions)
    offset = 0
    for layer in layout.layers:
        assert layer.channels == convolutions[layer.name].out_channels
        assert layer.slice == slice(offset, offset + layer.channels)
        offset += layer.channels
    assert layout.channels == offset


@pytest.mark.parametrize("width", [1, 4, 16, 64])
def test_preactresnet18_has_twenty_masked_layers_with_75_channels_a_width(width: int):
    layout = MaskLayout.of(build(f"preactresnet18w{width}", 10))
    assert len(layout.layers) == 20
    assert layout.channels == 75 * width
    assert sum("shortcut" in layer.name for layer in layout.layers) == 3


def test_a_network_without_convolution_is_refused():
    with pytest.raises(ValueError, match="no Conv2d layer and no encoder block"):
        MaskLayout.of(nn.Linear(3, 2))


def test_initial_masks_leave_every_view_bit_for_bit_as_it_was(narrow: Classifier, test_images: LabelledImages):
    layout = MaskLayout.of(narrow)
    batch = test_images.tensor()[:20]
    before = narrow(batch)
    masks = Masks.initial(layout)
    for view in View:
        assert torch.equal(masks.gate(view), torch.ones(layout.channels))
        with attached(narrow, layout, masks.gate(view)):
            assert torch.equal(narrow(batch), before)


def test_unselected_channels_leave_the_logits_bit_for_bit_whatever_the_mask(network: nn.Module):
    layout = MaskLayout.of(network)
    mask = torch.rand(layout.channels, generator=torch.Generator().manual_seed(0))
    masks = Masks(mask, torch.ones(layout.channels))
    before = network(images())
    for view in View:
        with attached(network, layout, masks.gate(view)):
            assert torch.equal(network(images()), before)


def test_a_gate_of_zero_cuts_exactly_its_channel():
    network = Residual().eval()
    layout = MaskLayout.of(network)
    gate = torch.ones(layout.channels)
    (cut,) = [layer for layer in layout.layers if layer.name == "branches.1"]
    gate[cut.offset + 2] = 0
    with attached(network, layout, gate):
        gated = network(images())
    with torch.no_grad():
        by_hand = copy.deepcopy(network)
        by_hand.branches[1].weight[2] = 0
        by_hand.branches[1].bias[2] = 0
    torch.testing.assert_close(gated, by_hand(images()), rtol=0, atol=1e-6)
    assert not torch.allclose(gated, network(images()))


def test_pruned_and_inverse_views_differ_from_the_original(network: nn.Module):
    layout = MaskLayout.of(network)
    masks = dataclasses.replace(random_masks(layout), selection=torch.zeros(layout.channels))
    logits = {}
    for view in View:
        with attached(network, layout, masks.gate(view)):
            logits[view] = network(images())
    assert torch.equal(logits[View.ORIGINAL], network(images()))
    assert not torch.equal(logits[View.PRUNED], logits[View.ORIGINAL])
    assert not torch.equal(logits[View.INVERSE], logits[View.PRUNED])


def test_leaving_the_block_leaves_no_hook_and_an_equal_state(network: nn.Module):
    layout = MaskLayout.of(network)
    before = copy.deepcopy(network.state_dict())
    logits = network(images())
    with attached(network, layout, random_masks(layout).gate(View.PRUNED)):
        assert hooks(network) == len(layout.layers)
        network(images())
    assert hooks(network) == 0
    assert_equal_states(network.state_dict(), before)
    assert torch.equal(network(images()), logits)


def test_an_exception_inside_leaves_no_hook_and_an_equal_state(narrow: Classifier):
    layout = MaskLayout.of(narrow)
    before = copy.deepcopy(narrow.state_dict())
    with (
        pytest.raises(RuntimeError, match="size of tensor"),
        attached(narrow, layout, random_masks(layout).gate(View.INVERSE)),
    ):
        narrow(torch.rand(2, 4, 32, 32))  # four colour channels
    assert hooks(narrow) == 0
    assert_equal_states(narrow.state_dict(), before)


def test_an_exception_while_attaching_leaves_no_hook(narrow: Classifier):
    layout = MaskLayout.of(narrow)
    wrong = MaskLayout((*layout.layers, MaskedLayer("network.layer9.conv1", 4, layout.channels)))
    with pytest.raises(KeyError), attached(narrow, wrong, torch.ones(wrong.channels)):
        pass
    assert hooks(narrow) == 0


def test_other_hooks_on_the_network_stay(narrow: Classifier):
    seen = []
    handle = narrow.network.conv1.register_forward_hook(lambda module, args, output: seen.append(output.shape))
    layout = MaskLayout.of(narrow)
    with attached(narrow, layout, torch.ones(layout.channels)):
        narrow(images())
    narrow(images())
    assert len(seen) == 2
    assert hooks(narrow) == 1
    handle.remove()


def test_gates_apply_inside_each_other(narrow: Classifier):
    layout = MaskLayout.of(narrow)
    first, second = random_masks(layout, 1).gate(View.PRUNED), random_masks(layout, 2).gate(View.PRUNED)
    with attached(narrow, layout, first * second):
        product = narrow(images())
    with attached(narrow, layout, first), attached(narrow, layout, second):
        nested = narrow(images())
    torch.testing.assert_close(nested, product)


def test_views_in_one_pass_equal_passes_of_their_own(narrow: Classifier):
    model = copy.deepcopy(narrow).double()
    layout = MaskLayout.of(model)
    masks = random_masks(layout, dtype=torch.float64)
    batches = [(images(3 + place, place).double(), masks.gate(view)) for place, view in enumerate(GATED)]
    together = gated_logits(model, layout, batches)
    assert [logits.shape for logits in together] == [(3, 10), (4, 10), (5, 10)]
    for (batch, gate), logits in zip(batches, together, strict=True):
        with attached(model, layout, gate):
            torch.testing.assert_close(logits, model(batch), rtol=0, atol=1e-12)
    assert not torch.allclose(together[0], together[1][:3])


def test_a_gate_for_every_sample(narrow: Classifier):
    layout = MaskLayout.of(narrow)
    gates = torch.rand(5, layout.channels, generator=torch.Generator().manual_seed(4))
    with attached(narrow, layout, gates):
        together = narrow(images())
    for place in range(5):
        with attached(narrow, layout, gates[place]):
            torch.testing.assert_close(narrow(images()[place : place + 1])[0], together[place], rtol=1e-4, atol=1e-5)


def test_gates_pass_gradients_to_mask_and_selection(narrow: Classifier):
    layout = MaskLayout.of(narrow)
    half = torch.full((layout.channels,), 0.5)
    mask, selection = half.clone().requires_grad_(), half.clone().requires_grad_()
    masks = Masks(mask, selection)
    pruned, inverse = gated_logits(
        narrow, layout, [(images(), masks.gate(View.PRUNED)), (images(), masks.gate(View.INVERSE))]
    )
    (pruned.square().sum() + inverse.sum()).backward()
    for vector in (mask, selection):
        assert vector.grad is not None
        assert bool(vector.grad.isfinite().all())
        assert int((vector.grad != 0).sum()) > 0.5 * layout.channels
    assert all(parameter.grad is None for parameter in narrow.parameters())


def test_a_sharing_copy_shares_tensors_but_no_hooks(narrow: Classifier):
    twin = sharing_copy(narrow)
    theirs = dict(twin.named_parameters()) | dict(twin.named_buffers())
    for name, tensor in [*narrow.named_parameters(), *narrow.named_buffers()]:
        assert theirs[name].data_ptr() == tensor.data_ptr()
    assert {id(module) for module in twin.modules()}.isdisjoint(id(module) for module in narrow.modules())
    layout = MaskLayout.of(narrow)
    before = narrow(images())
    with attached(twin, layout, torch.zeros(layout.channels)):
        assert hooks(narrow) == 0
        assert torch.equal(narrow(images()), before)
        assert not torch.equal(twin(images()), before)


def assert_equal_states(state: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert list(state) == list(expected)
    for name, tensor in state.items():
        assert torch.equal(tensor, expected[name]), name


def test_channels_are_cut_and_restored_by_hand(narrow):
    layout = MaskLayout.of(narrow)
    masks = Masks(*torch.rand(2, layout.channels, generator=torch.Generator().manual_seed(5)))
    edited = edit.restored(edit.cut(masks, [3, 4]), [4, 7])
    pruned, inverse = edited.gate(View.PRUNED), edited.gate(View.INVERSE)
    assert float(pruned[3]) < 1e-4 < 0.999 < float(inverse[3])
    assert pruned[[4, 7]].tolist() == inverse[[4, 7]].tolist() == [1.0, 1.0]
    others = [channel for channel in range(layout.channels) if channel not in (3, 4, 7)]
    assert torch.equal(edited.mask[others], masks.mask[others])
    assert torch.equal(edited.selection[others], masks.selection[others])
    soft = dataclasses.replace(masks, steepness=5.0)
    cut = edit.cut(soft, [3])
    assert float(cut.gate(View.PRUNED)[3]) < 1e-4
    others = [channel for channel in range(layout.channels) if channel != 3]
    for view in (View.PRUNED, View.INVERSE):
        torch.testing.assert_close(cut.gate(view)[others], soft.gate(view)[others])
