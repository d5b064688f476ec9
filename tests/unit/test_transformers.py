"""Transformers: gates on the embedding of every encoder block, and all that looks at such masks or takes them away."""

import copy
from pathlib import Path

import pytest
import torch
import torchvision
from torch import Tensor, nn

from invmask.data.embedded import load_embedded
from invmask.evidence.activation import activation_change, feature_maps
from invmask.evidence.attribution import grad_cam, integrated_gradients
from invmask.evidence.conductance import channel_conductance, layer_conductance
from invmask.evidence.scores import channel_scores
from invmask.exports import model as exported
from invmask.exports.book_neurons import NEURONS
from invmask.exports.mask_file import read_mask, write_mask
from invmask.exports.source import MaskSource, take_masks
from invmask.frames import one_channel
from invmask.frames.channels import channel_name
from invmask.frames.neurons import conductance_figure
from invmask.frames.run_records import Picks, read_records
from invmask.masks.attach import attached, gated_logits
from invmask.masks.fold import fold
from invmask.masks.outputs import as_maps, block_width, channels_first
from invmask.masks.partial_passes import Resumable
from invmask.masks.repair import Gates
from invmask.masks.state import MaskLayout, Masks, View
from invmask.models import build
from invmask.runs.store.all_runs import RunStore
from invmask.runs.store.goals import Goal, Want, write_want
from invmask.runs.work.advance import advance
from invmask.victims.victim import VictimCard, new_model, save_victim
from tests.unit.run_helpers import small_spec

VICTIM = "cifar10-vitw32-badnets"


def drawn(network: nn.Module) -> nn.Module:
    """With a head that is not zero, as torchvision begins with."""
    for name, module in network.named_modules():
        if name.endswith("heads.head"):
            nn.init.normal_(module.weight)
    return network.eval().requires_grad_(False)


@pytest.fixture(params=["vitw32", "torchvision:swin_t"])
def network(request: pytest.FixtureRequest) -> nn.Module:
    torch.manual_seed(3)
    return drawn(build(request.param, 10))


@pytest.fixture
def vit() -> nn.Module:
    torch.manual_seed(3)
    return drawn(build("vitw32", 10))


def images(count: int = 3) -> Tensor:
    return torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def some_gates(layout: MaskLayout) -> Tensor:
    return torch.rand(layout.channels, generator=torch.Generator().manual_seed(1))


def clean(model: nn.Module) -> bool:
    return not any(m._forward_hooks or m._forward_pre_hooks or "forward" in m.__dict__ for m in model.modules())


def test_the_layout_is_every_encoder_block_and_no_convolution(network):
    layout = MaskLayout.of(network)
    modules = dict(network.named_modules())
    blocks = [name for name, m in modules.items() if type(m).__name__ in ("EncoderBlock", "SwinTransformerBlock")]
    assert [layer.name for layer in layout.layers] == blocks
    assert [layer.channels for layer in layout.layers] == [block_width(modules[name]) for name in blocks]
    assert layout.channels == (6 * 32 if len(blocks) == 6 else 2 * 96 + 2 * 192 + 6 * 384 + 2 * 768)


def test_ones_leave_the_logits_bit_for_bit_and_zeros_do_not(network):
    layout, before = MaskLayout.of(network), network(images())
    state = copy.deepcopy(network.state_dict())
    for view in View:
        with attached(network, layout, Masks.initial(layout).gate(view)):
            assert torch.equal(network(images()), before)
    gates = torch.ones(layout.channels)
    gates[5] = 0
    with attached(network, layout, gates):
        assert not torch.equal(network(images()), before)
    assert clean(network)
    assert torch.equal(network(images()), before)
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())


def test_a_gate_multiplies_its_dimension_of_every_token(network):
    layout = MaskLayout.of(network)
    layer, gates = layout.layers[1], torch.ones(layout.channels)
    gates[layer.slice] = torch.linspace(0, 1, layer.channels)
    module, seen = dict(network.named_modules())[layer.name], []
    before = module.register_forward_hook(lambda m, i, output: seen.append(output.clone()))
    with attached(network, layout, gates):
        after = module.register_forward_hook(lambda m, i, output: seen.append(output.clone()))
        network(images())
        after.remove()
    before.remove()
    torch.testing.assert_close(seen[1], seen[0] * torch.linspace(0, 1, layer.channels))
    assert clean(network)


def test_an_exception_inside_leaves_nothing_behind(vit):
    layout = MaskLayout.of(vit)
    with pytest.raises(RuntimeError), attached(vit, layout, some_gates(layout)):
        vit(torch.rand(1, 5, 32, 32))
    assert clean(vit)


def test_views_in_one_pass_equal_passes_of_their_own(vit):
    layout = MaskLayout.of(vit)
    gates = [some_gates(layout), 1 - some_gates(layout)]
    together = gated_logits(vit, layout, [(images(2), gate) for gate in gates])
    for gate, logits in zip(gates, together, strict=True):
        with attached(vit, layout, gate):
            torch.testing.assert_close(vit(images(2)), logits, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(*together)


def test_blocks_are_not_folded_but_kept_as_data(vit):
    layout = MaskLayout.of(vit)
    folded = fold(vit, layout, some_gates(layout))
    assert list(folded.gates) == [layer.name for layer in layout.layers]
    rest = folded.remaining()
    assert rest is not None
    assert torch.equal(rest, some_gates(layout))
    with attached(vit, layout, some_gates(layout)):
        torch.testing.assert_close(folded.run(images()), vit(images()))


def test_tokens_become_maps_without_the_class_token():
    block = build("vitw32", 10).encoder.layers[0]
    tokens = torch.rand(2, 1 + 16, 5)
    maps = as_maps(block, tokens)
    assert maps.shape == (2, 5, 4, 4)
    assert torch.equal(maps[1, 3].flatten(), tokens[1, 1:, 3])
    assert torch.equal(as_maps(block, tokens[:, 1:]), maps)
    assert channels_first(block, tokens).shape == (2, 5, 17)
    places = torch.rand(2, 4, 6, 5)
    assert torch.equal(as_maps(block, places)[:, 2], places[..., 2])
    with pytest.raises(ValueError, match="fill no square"):
        as_maps(block, torch.rand(2, 15, 5))


def test_evidence_by_hand(vit):
    layout, module = MaskLayout.of(vit), vit.encoder.layers[2]
    layer, seen = layout.layers[2], []
    handle = module.register_forward_hook(lambda m, i, output: seen.append(output))
    vit(images()), vit(images().flip(3))
    handle.remove()
    change = activation_change(vit, layout, images(), images().flip(3))
    torch.testing.assert_close(change[layer.slice], (seen[0] - seen[1]).abs().mean((0, 1)), rtol=1e-3, atol=1e-5)
    maps = feature_maps(vit, layout, layer.offset + 7, images())
    torch.testing.assert_close(maps.flatten(1), seen[0][:, 1:, 7], rtol=1e-4, atol=1e-5)
    assert clean(vit)


def test_conductance_of_a_block_adds_up_to_the_rise_of_the_logit(vit):
    vit.double()
    before, after = images().double(), images().flip(3).double()
    parts = layer_conductance(vit, MaskLayout.of(vit).layers[3], after, before, target=1, steps=50)
    rise = (vit(after) - vit(before))[:, 1].mean()
    assert float(parts.sum()) == pytest.approx(float(rise), rel=0.02, abs=1e-3)


@pytest.mark.parametrize("block", [2, 5])
def test_what_flows_through_a_channel_takes_in_the_class_token(vit, block):
    layout = MaskLayout.of(vit)
    layer, batch = layout.layers[block], images(2)
    whole = layer_conductance(vit, layer, batch, torch.zeros_like(batch), target=1, steps=48)
    found = channel_conductance(vit, layout, layer.offset + 7, batch, target=1)
    assert found.class_token is not None
    together = found.maps.sum((1, 2)) + found.class_token
    assert float(together.mean()) == pytest.approx(float(whole[7]), rel=0.01, abs=1e-5)
    assert float(found.class_token.abs().min()) > 1e-3
    # After the last block nothing is read but the class token.
    assert (float(found.maps.abs().max()) < 1e-6) == (block == 5)
    assert clean(vit)


def test_attributions_are_as_large_as_the_images_and_not_empty(vit):
    layout = MaskLayout.of(vit)
    for found in (
        grad_cam(vit, layout, torch.ones(layout.channels), images(), 1),
        integrated_gradients(vit, layout, torch.ones(layout.channels), images(1), 1, 2),
    ):
        assert found.shape[1:] == (32, 32)
        assert float(found.abs().max()) > 0
    assert clean(vit)


def test_grad_cam_of_a_convolution_equals_captums(narrow):
    from captum.attr import LayerGradCam

    layout, batch = MaskLayout.of(narrow), images()
    ours = grad_cam(narrow, layout, torch.ones(layout.channels), batch, 4)
    module = dict(narrow.named_modules())[layout.layers[-1].name]
    theirs = LayerGradCam(narrow, module).attribute(batch.requires_grad_(), target=4, relu_attributions=True)
    large = nn.functional.interpolate(theirs.detach(), (32, 32), mode="bilinear", align_corners=False)
    torch.testing.assert_close(ours, large[:, 0], rtol=1e-4, atol=1e-6)
    assert float(ours.max()) > 0


def test_a_resumed_pass_equals_one_from_the_start(vit):
    layout = MaskLayout.of(vit)
    resumed = Resumable(vit, layout, images(), None, "float32")
    gates = torch.ones(2, layout.channels)
    gates[0, -1], gates[1, layout.layers[3].offset] = 0, 0
    for row, logits in enumerate(resumed.logits(gates)):
        with attached(vit, layout, gates[row]):
            torch.testing.assert_close(logits, vit(images()), rtol=1e-4, atol=1e-4)
    assert resumed.first_block(0) == 0
    assert resumed.first_block(layout.channels - 1) == len(layout.layers) - 1


def test_channels_that_are_cut_have_a_score(vit):
    layout = MaskLayout.of(vit)
    masks = Masks(torch.rand(layout.channels).round(), torch.zeros(layout.channels))
    scores = channel_scores(vit, layout, masks, images())
    assert scores.shape == (layout.channels,)
    assert float(scores[masks.mask == 1].abs().max()) < 1e-3
    assert float(scores.max()) > 0


@pytest.fixture
def source(own_home: Path) -> MaskSource:
    """Masks of a short run on an untrained victim."""
    torch.manual_seed(4)
    model = new_model("cifar10", "vitw32")
    drawn(model)
    card = VictimCard(VICTIM, "cifar10", "vitw32", "badnets", 0.1, 0, 0.1, 0.1, 0.1, 10_000)
    save_victim(own_home / "victims", card, model)
    run = RunStore(own_home / "runs").create(small_spec(VICTIM))
    write_want(run.path, Want(Goal.ADVANCE, 4))
    advance(run.path)
    taken = take_masks(run)
    assert len(taken.masks.mask) == 6 * 32
    return MaskSource(run, taken.spec, taken.victim, taken.layout, Gates(Masks(*torch.rand(2, 192))), taken.round)


def test_figures_of_a_transformer_say_what_they_are_of(source):
    name = channel_name(source.layout.layers, source.layout.layers[-1].offset + 7)
    records = read_records(source.run, source.round, Picks(channel=name))
    found = one_channel.conducted(records.victim, records.channel_images, records.channel)
    assert found.class_token is not None
    assert found.sums.tolist() == pytest.approx(found.class_token.tolist(), abs=1e-5)
    said = [note.text for note in conductance_figure(records, "paper").layout.annotations]
    for token in found.class_token:
        words = f"{token:.2f}".replace("-", "−")
        assert any(f"channel: {words} logits,<br>of these class token: {words}<br>" in text for text in said)
    (entry,) = (entry for entry in NEURONS if entry.name == "neurons-attributions")
    assert "Grad-CAM is of the last encoder block but one." in entry.words(records)
    assert "convolution" not in entry.words(records)


@pytest.mark.parametrize("view", [View.PRUNED, View.INVERSE])
def test_an_exported_transformer_answers_as_the_masked_one(source, tmp_path, view):
    few = load_embedded("cifar10", "test").images.take(torch.arange(20).numpy())
    assert exported.write_weights(tmp_path / "vit.safetensors", source, view, few).holds
    again = exported.read_weights(tmp_path / "vit.safetensors")
    assert list(again.gates) == [layer.name for layer in source.layout.layers]
    if view is View.PRUNED:
        assert exported.write_onnx(tmp_path / "vit.onnx", source, view, few).holds
    write_mask(tmp_path / "mask.safetensors", source)
    found = read_mask(tmp_path / "mask.safetensors")
    with attached(source.victim.model, found.layout, found.masks.gate(view)):
        wanted = source.victim.model(few.tensor())
    torch.testing.assert_close(again.run(few.tensor()), wanted, rtol=1e-4, atol=1e-4)
    assert clean(source.victim.model)


def test_convolutions_of_other_networks_are_found_as_before():
    network = torchvision.models.convnext_tiny(weights=None, num_classes=3)
    wanted = [name for name, module in network.named_modules() if isinstance(module, nn.Conv2d)]
    assert [layer.name for layer in MaskLayout.of(network).layers] == wanted
