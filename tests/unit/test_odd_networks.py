"""Networks as others write them: activations in place, modules used twice, and transformers of other libraries."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from invmask.defenses.base import Subject, drive
from invmask.defenses.ims.config import preset
from invmask.defenses.ims.stepper import IMS
from invmask.errors import UserError
from invmask.evidence.activation import activation_change, feature_maps
from invmask.evidence.attribution import grad_cam
from invmask.evidence.conductance import channel_conductance, layer_conductance
from invmask.masks.attach import attached, gated_logits
from invmask.masks.constant import ConstantView
from invmask.masks.fold import fold
from invmask.masks.outputs import as_maps, block_width, is_block
from invmask.masks.partial_passes import Resumable
from invmask.masks.state import MaskLayout
from invmask.models import build
from invmask.models.answers import adapt

IMAGES = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))


class InPlace(nn.Module):
    """Every activation and addition changes its input in place."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ELU(inplace=True))
        self.second = nn.Conv2d(6, 6, 3, padding=1)
        self.third = nn.Conv2d(6, 6, 3, padding=1)
        self.last = nn.Sequential(nn.Conv2d(6, 8, 3), nn.SiLU(inplace=True))
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        y = self.second(x)
        y += x
        F.elu_(y)
        z = self.third(y)
        F.hardswish(z, inplace=True)
        z.add_(y).mul_(0.5)
        return self.head(self.last(z).mean((2, 3)))


class Twice(nn.Module):
    """One block is used two times, and what it returned the first time is needed after the second."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.again = nn.Sequential(nn.Conv2d(6, 6, 3, padding=1), nn.Tanh())
        self.act = nn.ReLU(inplace=True)
        self.last = nn.Conv2d(6, 8, 3)
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.stem(x))
        once = self.again(x)
        twice = self.again(once)
        return self.head(self.act(self.last(once * twice + once)).mean((2, 3)))


class Keyword(Twice):
    """Blocks take keywords and return more than one thing."""

    class Part(nn.Module):
        def __init__(self, before: int, after: int) -> None:
            super().__init__()
            self.conv = nn.Conv2d(before, after, 3, padding=1)

        def forward(self, x: Tensor, *, scale: float) -> tuple[Tensor, float]:
            return scale * self.conv(x), scale

    def __init__(self) -> None:
        super().__init__()
        self.again = self.Part(6, 6)
        self.more = self.Part(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        x, scale = self.again(self.stem(x), scale=0.5)
        x, _ = self.more(x, scale=scale)
        return self.head(self.last(x).mean((2, 3)))


ODD = (InPlace, Twice, Keyword)


@pytest.fixture(params=ODD, ids=lambda kind: kind.__name__)
def network(request: pytest.FixtureRequest) -> nn.Module:
    torch.manual_seed(11)
    return request.param().eval().requires_grad_(False)


def some_gates(layout: MaskLayout, seed: int = 1) -> Tensor:
    return torch.rand(layout.channels, generator=torch.Generator().manual_seed(seed))


def by_hand(network: nn.Module, layout: MaskLayout, gates: Tensor) -> Tensor:
    """The gated logits from weights alone: a gate scales its filter, which is exact without hooks."""
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    for layer in layout.layers:
        for name in (f"{layer.name}.weight", f"{layer.name}.bias"):
            state[name] = state[name] * gates[layer.slice].reshape(-1, *[1] * (state[name].ndim - 1))
    return torch.func.functional_call(network, state, (IMAGES,))


def test_untouched_gates_equal_a_plain_pass_bit_for_bit(network):
    layout, plain = MaskLayout.of(network), network(IMAGES)
    ones = torch.ones(layout.channels)
    with attached(network, layout, ones):
        assert torch.equal(network(IMAGES), plain)
    assert torch.equal(network(IMAGES), plain)
    resumable = Resumable(network, layout, IMAGES, None, "float32")
    # In the layout of memory that such passes have.
    last = network(IMAGES.contiguous(memory_format=torch.channels_last))
    assert torch.equal(resumable.known, last)
    torch.testing.assert_close(resumable.known, plain)


def test_gates_scale_channels_at_every_use(network):
    layout = MaskLayout.of(network)
    gates = some_gates(layout)
    wanted = by_hand(network, layout, gates)
    with attached(network, layout, gates):
        torch.testing.assert_close(network(IMAGES), wanted)
    torch.testing.assert_close(fold(network, layout, gates).run(IMAGES), wanted)
    torch.testing.assert_close(ConstantView(network, layout, gates)(IMAGES), wanted)
    torch.testing.assert_close(gated_logits(network, layout, [(IMAGES, gates)])[0], wanted)
    assert not torch.allclose(wanted, network(IMAGES), atol=1e-3)


@pytest.mark.parametrize("known", [False, True])
def test_passes_that_begin_in_the_middle_equal_whole_ones(network, known):
    layout = MaskLayout.of(network)
    begun = some_gates(layout) if known else torch.ones(layout.channels)
    resumable = Resumable(network, layout, IMAGES, begun, "float32")
    for layer in layout.layers:
        gates = begun.expand(2, -1).clone()
        gates[0, layer.offset], gates[1, layer.slice] = 0, 0.25
        found = resumable.logits(gates)
        for row, gate in zip(found, gates, strict=True):
            torch.testing.assert_close(row, by_hand(network, layout, gate))


def test_blocks_are_skipped_where_that_is_right():
    torch.manual_seed(11)
    layout = MaskLayout.of(network := InPlace().eval())
    resumable = Resumable(network, layout, IMAGES, None, "float32")
    assert [resumable.first_block(layer.offset) for layer in layout.layers] == [0, 1, 2, 3]


def test_evidence_on_what_is_changed_in_place_is_that_of_the_layers_output():
    torch.manual_seed(11)
    network = (
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        .eval()
        .requires_grad_(False)
    )
    layout, outputs = MaskLayout.of(network), network[0](IMAGES)
    torch.testing.assert_close(feature_maps(network, layout, 2, IMAGES), outputs[:, 2], rtol=1e-4, atol=1e-5)
    assert float(outputs.min()) < 0
    changed = IMAGES.flip(3)
    wanted = (network[0](changed) - outputs).abs().mean((0, 2, 3))
    torch.testing.assert_close(activation_change(network, layout, IMAGES, changed), wanted, rtol=1e-3, atol=1e-5)
    apart = nn.Sequential(network[0], nn.ReLU(), *network[2:])
    ones = torch.ones(layout.channels)
    torch.testing.assert_close(grad_cam(network, layout, ones, IMAGES, 1), grad_cam(apart, layout, ones, IMAGES, 1))
    parts = [layer_conductance(one, layout.layers[0], changed, IMAGES, 1) for one in (network, apart)]
    torch.testing.assert_close(*parts)


def test_evidence_on_a_layer_that_is_used_twice():
    torch.manual_seed(11)
    network = Twice().eval()
    layout = MaskLayout.of(network)
    layer = layout.layers[1]
    uses = []
    hook = network.again[0].register_forward_hook(lambda module, inputs, output: uses.append(output))
    network(IMAGES)
    hook.remove()
    maps = feature_maps(network, layout, layer.offset, IMAGES)
    torch.testing.assert_close(maps, uses[-1][:, 0], rtol=1e-4, atol=1e-5)
    assert grad_cam(network, MaskLayout(layout.layers[:2]), torch.ones(layout.channels), IMAGES, 1).shape == (4, 16, 16)
    change = activation_change(network, layout, IMAGES, IMAGES.flip(3))
    assert change.shape == (layout.channels,)
    assert channel_conductance(network, layout, layer.offset, IMAGES[:1], 1, 4).maps.shape == (1, 16, 16)


BLOCKS = {
    "timm:vit_tiny_patch16_224@32": 12,
    "timm:deit_tiny_distilled_patch16_224@32": 12,
    "timm:vit_small_patch14_reg4_dinov2@56": 12,
    "timm:vit_relpos_small_patch16_224@32": 12,
    "timm:swin_tiny_patch4_window7_224": 12,
    "timm:mixer_s32_224": 8,
    "timm:beit_base_patch16_224@32": 12,
    "timm:eva02_tiny_patch14_224@28": 12,
    "timm:cait_xxs24_224": 24,
    "timm:convit_tiny": 12,
    "timm:swinv2_tiny_window8_256": 12,
    "timm:gmlp_ti16_224": 30,
    "timm:xcit_nano_12_p16_224@64": 12,
    "huggingface:vit-d64-l3-h2-m128-p8-s32": 3,
}


@pytest.mark.parametrize("name", BLOCKS)
def test_masks_lie_on_the_blocks_of_other_libraries_transformers(name):
    torch.manual_seed(12)
    network = build(name, 4, (3, 64, 64)).eval().requires_grad_(False)
    for layer, module in network.named_modules():
        # Some heads, and some scales of blocks, begin with zeros.
        if isinstance(module, nn.Linear) and "head" in layer:
            nn.init.normal_(module.weight)
        for own, parameter in module.named_parameters(recurse=False):
            if own.startswith(("gamma", "ls")):
                parameter.fill_(0.5)
    layout, modules = MaskLayout.of(network), dict(network.named_modules())
    assert len(layout.layers) == BLOCKS[name]
    assert all(is_block(modules[layer.name]) for layer in layout.layers)
    images = torch.rand(2, 3, 64, 64)
    plain = network(images)
    with attached(network, layout, torch.ones(layout.channels)):
        assert torch.equal(network(images), plain)
    middle = layout.layers[len(layout.layers) // 2]
    module, seen = modules[middle.name], []
    gates = torch.ones(layout.channels)
    gates[middle.slice] = torch.linspace(0, 1, middle.channels)
    handle = module.register_forward_hook(lambda module, inputs, output: seen.append(output))
    with attached(network, layout, gates):
        cut = network(images)
    handle.remove()
    assert seen[0].shape[0] == 2
    assert seen[0].shape[-1] == middle.channels == block_width(module)
    assert not torch.allclose(cut, plain, atol=1e-6)
    maps = as_maps(module, seen[0])
    assert maps.shape[1] == middle.channels
    resumable = Resumable(network, layout, images, None, "float32")
    torch.testing.assert_close(resumable.logits(gates[None])[0], cut, rtol=1e-3, atol=1e-4)


def test_named_layers_are_masked_and_no_others():
    torch.manual_seed(13)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(784, 6), nn.LayerNorm(6)
    ).eval()
    network.requires_grad_(False)
    layout = MaskLayout.of(network, ["4", "1", "3"])
    assert [(layer.name, layer.channels, layer.offset) for layer in layout.layers] == [
        ("1", 4, 0),
        ("3", 6, 4),
        ("4", 6, 10),
    ]
    network.masked_layers = ["1", "3", "4"]
    assert MaskLayout.of(network) == layout
    gates = some_gates(layout)
    wanted = network[:2](IMAGES) * gates[:4, None, None]
    wanted = network[4](network[3](wanted.flatten(1)) * gates[4:10]) * gates[10:]
    with attached(network, layout, gates):
        torch.testing.assert_close(network(IMAGES), wanted)
    folded = fold(network, layout, gates)
    assert not folded.gates
    torch.testing.assert_close(folded.run(IMAGES), wanted)


class LayerNorm2d(nn.LayerNorm):
    """As torchvision and timm have it, for maps."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def test_a_norm_of_maps_and_a_hidden_linear_layer_can_be_named():
    torch.manual_seed(15)
    network = nn.Sequential(
        nn.Conv2d(3, 16, 1),
        LayerNorm2d(16),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, 6),
        nn.Tanh(),
        nn.Linear(6, 4),
    )
    network.eval().requires_grad_(False).masked_layers = ("1", "5")
    layout = MaskLayout.of(network)
    gates = some_gates(layout)
    maps = network[:2](IMAGES)
    hidden = network[5](network[2:5](maps * gates[:16, None, None]))
    with attached(network, layout, gates):
        torch.testing.assert_close(network(IMAGES), network[6:](hidden * gates[16:]))
    torch.testing.assert_close(feature_maps(network, layout, 3, IMAGES), maps[:, 3], rtol=1e-4, atol=1e-5)
    plain = network[:6](IMAGES)
    torch.testing.assert_close(feature_maps(network, layout, 16, IMAGES), plain[:, 0, None, None], rtol=1e-4, atol=1e-5)
    change = activation_change(network, layout, IMAGES, IMAGES.flip(0))[16:]
    torch.testing.assert_close(change, (plain - network[:6](IMAGES.flip(0))).abs().mean(0), rtol=1e-3, atol=1e-5)
    found = channel_conductance(network, layout, 17, IMAGES, 1, 8)
    assert found.maps.shape == (4, 1, 1)
    assert found.class_token is None
    assert layer_conductance(network, layout.layers[1], IMAGES, IMAGES.flip(0), 1).shape == (6,)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (["0", "7"], "The network has no layer '7'; layers are such as"),
        (["2"], "The layer '2' is a Flatten; name convolutions"),
        ([], "Name at least one layer"),
    ],
)
def test_names_of_no_layers_get_one_sentence(layers, message):
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten())
    with pytest.raises(UserError, match=message):
        MaskLayout.of(network, layers)


def test_huggingfaces_spelling_is_the_same_network_as_torchvisions():
    torch.manual_seed(14)
    theirs = build("torchvision:vit_b_16@32", 4, (3, 32, 32)).network
    small = type(theirs)(32, 8, 3, 2, 64, 128, num_classes=4).eval().requires_grad_(False)
    nn.init.normal_(small.heads.head.weight)
    nn.init.normal_(small.class_token)
    ours = build("huggingface:vit-d64-l3-h2-m128-p8-s32", 4, (3, 32, 32)).eval()
    state = small.state_dict()
    named = {
        "vit.embeddings.cls_token": state["class_token"],
        "vit.embeddings.position_embeddings": state["encoder.pos_embedding"],
    }
    whole = {
        "conv_proj": "vit.embeddings.patch_embeddings.projection",
        "encoder.ln": "vit.layernorm",
        "heads.head": "classifier",
    }
    parts = {
        "ln_1": "layernorm_before",
        "ln_2": "layernorm_after",
        "mlp.0": "intermediate.dense",
        "mlp.3": "output.dense",
    }
    parts["self_attention.out_proj"] = "attention.output.dense"
    for leaf in ("weight", "bias"):
        named |= {f"{to}.{leaf}": state[f"{of}.{leaf}"] for of, to in whole.items()}
        for block in range(3):
            at, into = f"encoder.layers.encoder_layer_{block}", f"vit.encoder.layer.{block}"
            named |= {f"{into}.{to}.{leaf}": state[f"{at}.{of}.{leaf}"] for of, to in parts.items()}
            split = state[f"{at}.self_attention.in_proj_{leaf}"].chunk(3)
            for kind, tensor in zip(("query", "key", "value"), split, strict=True):
                named[f"{into}.attention.attention.{kind}.{leaf}"] = tensor
    ours.load_state_dict(named)
    images = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(ours(images), small(images), rtol=1e-4, atol=1e-4)


def test_huggingfaces_spelling_can_be_exported_for_any_number_of_images():
    network = build("huggingface:vit-d32-l1-h2-m32-p8-s16", 4, (3, 16, 16)).eval()
    batch = {0: torch.export.Dim("batch")}
    program = torch.export.export(network, (IMAGES[:2],), dynamic_shapes=(batch,))
    torch.testing.assert_close(program.module()(IMAGES), network(IMAGES))


def taken() -> nn.Module:
    """A network whose logits are read from a mapping of probabilities."""

    class Mapping(InPlace):
        def forward(self, x: Tensor) -> dict[str, Tensor]:  # type: ignore[override]
            return {"probabilities": super().forward(x).softmax(1)}

    return adapt(Mapping().eval(), IMAGES)[0]


DEFENDED = {
    "in place": (InPlace, False),
    "used twice": (Twice, False),
    "taken": (taken, False),
    "huggingface": (lambda: build("huggingface:vit-d32-l3-h2-m32-p8-s16", 4, (3, 16, 16)), True),
    "timm": (lambda: build("timm:vit_relpos_small_patch16_224@16", 4, (3, 16, 16)), True),
    "timm, convolutions": (lambda: build("timm:mobilenetv4_conv_small_050", 4, (3, 16, 16)), False),
}


@pytest.mark.parametrize("what", DEFENDED)
def test_a_round_of_each_phase_of_ims_on_others_networks(what):
    make, transformer = DEFENDED[what]
    torch.manual_seed(16)
    network = make().eval().requires_grad_(False)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    short = {"rounds_initialise": 1, "rounds_minimise": 1, "rounds_sparsify": 1, "inner_steps": 1}
    short |= {"rounds_search": 4, "search_steps": 1}
    defense = IMS(replace(preset("default", transformer=transformer), clear_lead=20, **short))
    rounds = list(drive(defense, subject := Subject(network, IMAGES, 4), defense.init(subject)))
    masks = defense.masks(rounds[-1][0])
    assert bool((masks.mask != rounds[0][0].mask).any())
    assert bool(masks.mask.isfinite().all())
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())
