"""Architectures are recognised by names and shapes of tensors alone, and under other names by order and shape."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.nn import functional as F

from invmask.errors import UserError
from invmask.models import build
from invmask.models.cifar import parse
from invmask.models.code_file import agree
from invmask.models.enlarged import inner
from invmask.models.known_networks import known_networks
from invmask.models.recognise import MOST_TENSORS, Candidate, recognise, recognise_as
from invmask.models.registry import is_normalised, is_transformer, suited_precision
from tests.unit.test_models import SMALL

State = dict[str, Tensor]
SHAPE = (3, 32, 32)
ROOT = Path(__file__).parents[2]


def on_meta(name: str, classes: int = 10, shape: tuple[int, int, int] = SHAPE) -> State:
    """Names and shapes, without memory for the weights."""
    with torch.device("meta"):
        return inner(build(name, classes, shape))[0].state_dict()


def by_file(state: State) -> State:
    """As a safetensors file has it, whose order says nothing."""
    return load(save({name: tensor.contiguous() for name, tensor in state.items()}))


def drawn(network: nn.Module) -> nn.Module:
    """With statistics and a head that are not all alike, so that a mix-up shows in the answers."""
    generator = torch.Generator().manual_seed(4)
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point():
            spread = 0.1 * torch.randn(tensor.shape, generator=generator)
            tensor.copy_(1 + spread if name.endswith(("running_var", "norm.weight")) else tensor + spread)
            if name.endswith("running_var"):
                tensor.abs_()
    return network.eval()


def loaded(candidate: Candidate, state: State, shape: tuple[int, int, int] = SHAPE) -> nn.Module:
    network = build(candidate.architecture, candidate.classes, shape)
    network.load_state_dict(candidate.state(state, network))
    return network.eval()


PUBLIC = (
    "torchvision:resnet18",
    "torchvision:resnet50",
    "torchvision:vgg11_bn",
    "torchvision:mobilenet_v2",
    "torchvision:densenet121",
    "torchvision:vit_b_16",
    "torchvision:squeezenet1_1",
    "timm:vit_tiny_patch16_224",
    "timm:swin_tiny_patch4_window7_224",
    "timm:efficientnet_b0",
    "timm:convnext_atto",
    "timm:mixer_s16_224",
    "timm:deit_tiny_distilled_patch16_224",
    "timm:regnety_002",
    "cifar:resnet18",
    "cifar:resnet50",
    "cifar:resnet110",
    "cifar:resnet32b",
    "cifar:preactresnet34",
    "cifar:preactresnet50",
    "cifar:preactresnet18bn",
    "cifar:wideresnet28x10",
    "cifar:wideresnet40x2",
    "cifar:wideresnet34w40",
    "cifar:vgg16",
    "preactresnet18",
    "wideresnet16w160",
    "resnet20",
)
"""Full-size networks as their libraries and papers have them."""


@pytest.mark.parametrize("name", PUBLIC)
@pytest.mark.parametrize("classes", [10, 43])
def test_public_networks_are_recognised_by_names_and_shapes_alone(name: str, classes: int):
    state = on_meta(name, classes)
    first = recognise(state)[0]
    assert first.exact
    assert not first.renamed
    assert (first.architecture, first.classes, first.channels) == (name, classes, 3)
    assert not first.missing + first.left_over + first.other_shape


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("sort", [False, True])
def test_our_networks_are_recognised_with_their_widths(name: str, sort: bool):
    torch.manual_seed(1)
    network = drawn(build(name, 7))
    state = by_file(network.state_dict()) if sort else network.state_dict()
    found = {one.architecture: one for one in recognise(state)}
    # A public network with the same tensors comes first, as VGG-19 for small images.
    assert name in found
    one = found[name]
    assert (one.classes, one.channels, one.exact, one.renamed) == (7, 3, True, False)
    images = torch.rand(2, *SHAPE)
    assert torch.equal(loaded(one, state)(images), network(images))


@pytest.mark.parametrize("name", ["torchvision:resnet18", "timm:resnet18", "preactresnet18w8", "cifar:wideresnet22x1"])
def test_networks_for_grey_images_are_recognised(name: str):
    first = recognise(on_meta(name, 10, (1, 28, 28)))[0]
    assert (first.exact, first.channels, first.classes) == (True, 1, 10)


class WideBlock(nn.Module):
    """As in the first public WideResNet for PyTorch: the shortcut is `convShortcut`."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(before)
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.convShortcut = None if before == after else nn.Conv2d(before, after, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        pre = F.relu(self.bn1(x))
        out = self.conv2(F.relu(self.bn2(self.conv1(pre))))
        return out + (x if self.convShortcut is None else self.convShortcut(pre))


class Wide(nn.Module):
    def __init__(self, factor: int, blocks: int) -> None:
        super().__init__()
        widths = [16, 16 * factor, 32 * factor, 64 * factor]
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        for stage in (1, 2, 3):
            layer = nn.Sequential(
                *(
                    WideBlock(widths[stage - (place == 0)], widths[stage], 2 if stage > 1 and place == 0 else 1)
                    for place in range(blocks)
                )
            )
            setattr(self, f"block{stage}", nn.ModuleDict({"layer": layer}))
        self.bn1 = nn.BatchNorm2d(widths[3])
        self.fc = nn.Linear(widths[3], 10)

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv1(x)
        for stage in (1, 2, 3):
            out = getattr(self, f"block{stage}")["layer"](out)
        return self.fc(F.relu(self.bn1(out)).mean((2, 3)))


@pytest.mark.parametrize("sort", [False, True])
@pytest.mark.parametrize(("factor", "blocks", "name"), [(1, 2, "wideresnet16"), (2, 3, "cifar:wideresnet22x2")])
def test_a_wideresnet_of_the_other_spelling_answers_as_it_did(factor: int, blocks: int, name: str, sort: bool):
    torch.manual_seed(2)
    network = drawn(Wide(factor, blocks))
    state = by_file(network.state_dict()) if sort else network.state_dict()
    first = recognise(state)[0]
    assert (first.architecture, first.exact, first.renamed) == (name, True, True)
    assert first.names["block2.layer.0.convShortcut.weight"] == "layer2.0.shortcut.0.weight"
    assert first.names["bn1.running_var"] == "bn.running_var"
    assert first.names["fc.weight"] == "linear.weight"
    assert first.names["block3.layer.1.bn2.num_batches_tracked"] == "layer3.1.bn2.num_batches_tracked"
    images = torch.rand(2, *SHAPE)
    torch.testing.assert_close(loaded(first, state)(images), network(images))


def weiaicunzai(name: str) -> str:
    name = re.sub(r"^(conv|bn)1\.", lambda m: f"conv1.{int(m[1] == 'bn')}.", name)
    name = re.sub(r"layer(\d)", lambda m: f"conv{int(m[1]) + 1}_x", name)
    place = {"conv1": 0, "bn1": 1, "conv2": 3, "bn2": 4}
    name = re.sub(r"\.(conv[12]|bn[12])\.(?=\w+$)", lambda m: f".residual_function.{place[m[1]]}.", name)
    return name.replace("linear", "fc")


SPELLINGS: dict[str, tuple[str, Callable[[str], str]]] = {
    "torchvision's names with a small stem": (
        "cifar:resnet18w4",
        lambda name: name.replace("shortcut", "downsample").replace("linear", "fc"),
    ),
    "functions in sequences": ("cifar:resnet18w4", weiaicunzai),
    "fc for linear": ("cifar:resnet32b", lambda name: name.replace("linear", "fc")),
    "a new head behind a dropout": ("torchvision:resnet18", lambda name: name.replace("fc.", "fc.1.")),
    "a head of three parts": ("timm:mobilenetv3_small_050", lambda name: name.replace("classifier", "classifier.2")),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("sort", [False, True])
def test_the_same_network_under_other_names_is_matched(spelling: str, sort: bool):
    name, renamed = SPELLINGS[spelling]
    torch.manual_seed(3)
    network = drawn(build(name, 10))
    state = {renamed(own): tensor for own, tensor in network.state_dict().items()}
    assert state.keys() != network.state_dict().keys()
    first = recognise(by_file(state) if sort else state)[0]
    assert (first.architecture, first.exact, first.renamed) == (name, True, True)
    assert {theirs: ours for ours, theirs in zip(network.state_dict(), state, strict=True)} == first.names
    images = torch.rand(2, *SHAPE)
    assert torch.equal(loaded(first, state)(images), network(images))


def test_counts_of_batches_may_be_missing_and_second_heads_left_over():
    state = on_meta("torchvision:googlenet", 5)
    state = {name: tensor for name, tensor in state.items() if "num_batches" not in name}
    state["aux1.fc2.weight"] = torch.empty(5, 1024, device="meta")
    first = recognise(state)[0]
    assert (first.architecture, first.exact) == ("torchvision:googlenet", True)
    assert first.unused == ("aux1.fc2.weight",)
    assert "aux1.fc2.weight" not in first.names


@pytest.mark.parametrize(("name", "side"), [("timm:vit_tiny_patch16_224", 96), ("torchvision:vit_b_16", 64)])
def test_a_vision_transformer_for_images_of_another_size_is_recognised(name: str, side: int):
    first = recognise(on_meta(f"{name}@{side}"))[0]
    assert (first.architecture, first.exact, first.size) == (f"{name}@{side}", True, (side, side))
    assert first.shape() == (3, side, side)


def test_our_small_transformer_tells_the_size_of_its_images():
    first = recognise(build("vitw32", 10, (3, 48, 48)).state_dict())[0]
    assert (first.architecture, first.size) == ("vitw32", (48, 48))
    assert recognise(on_meta("preactresnet18w4"))[0].size is None


def test_near_misses_name_keys_and_shapes():
    state = on_meta("torchvision:resnet18", 10)
    del state["layer4.1.bn2.weight"]
    state["layer4.1.extra.weight"] = torch.empty(3, device="meta")
    state["layer1.0.conv1.weight"] = torch.empty(64, 64, 5, 5, device="meta")
    first = recognise(state)[0]
    assert (first.exact, first.architecture) == (False, "torchvision:resnet18")
    assert first.missing == ("layer4.1.bn2.weight",)
    assert first.left_over == ("layer4.1.extra.weight",)
    assert first.other_shape == ("layer1.0.conv1.weight (64x64x5x5 instead of 64x64x3x3)",)
    assert first.sentence() == (
        "These weights are nearest to torchvision:resnet18, but layer4.1.bn2.weight is missing; layer4.1.extra.weight "
        "is left over; layer1.0.conv1.weight (64x64x5x5 instead of 64x64x3x3) is of another shape."
    )


@pytest.mark.parametrize("name", ["cifar:resnet18w8", "preactresnet18w4", "cnn4w8", "cifar:wideresnet22x2"])
def test_near_misses_of_our_networks_are_named(name: str):
    state = on_meta(name)
    state.pop("linear.bias")
    state["linear2.bias"] = state["more"] = torch.empty(9, device="meta")
    first = recognise(state)[0]
    assert (first.architecture, first.exact) == (name, False)
    assert (first.missing, first.left_over) == (("linear.bias",), ("linear2.bias", "more"))


def test_what_is_like_nothing_known_has_no_candidates():
    assert recognise({"a.weight": torch.ones(3, 3), "b": torch.ones(())}) == ()
    assert recognise(nn.Sequential(nn.Conv2d(3, 5, 7), nn.Conv2d(5, 3, 7)).state_dict()) == ()


@pytest.mark.parametrize("count", [0, MOST_TENSORS + 1])
def test_no_tensors_and_too_many_are_refused(count: int):
    with pytest.raises(UserError, match="A network has 1 to"):
        recognise({str(place): torch.ones(1) for place in range(count)})


def test_architectures_with_equal_tensors_are_all_named_and_a_config_says_which():
    state = on_meta("timm:efficientnet_b0", 10)
    names = [one.architecture for one in recognise(state)]
    assert names[0] == "timm:efficientnet_b0"
    assert not any("@" in name for name in names)
    assert "timm:tf_efficientnet_b0" in names
    said = recognise(state, {"architecture": "tf_efficientnet_b0", "num_classes": 10})
    assert said[0].architecture == "timm:tf_efficientnet_b0"


def test_the_index_is_of_the_installed_libraries():
    index = known_networks()
    assert index.versions == {of: version(of) for of in ("timm", "torchvision")}
    assert len(index.names) > 1300
    assert len(set(index.names)) == len(index.names)


def test_the_index_says_what_kind_of_network_a_name_of_timm_is():
    assert is_transformer("timm:vit_tiny_patch16_224@32")
    assert is_transformer("timm:vit_small_patch14_reg4_dinov2.lvd142m")
    assert not is_transformer("timm:resnet18")
    assert not is_transformer("code:net.py:Net")
    assert not is_normalised("timm:vgg11")
    assert is_normalised("timm:vgg11_bn")
    assert suited_precision("timm:mobilenetv3_small_050") == "float32"


@pytest.mark.parametrize(
    "name", ["resnet19", "resnet18b", "resnet20pool", "wideresnet29x2", "vgg12", "preactresnet20", "x", ""]
)
def test_names_that_are_none_are_refused(name: str):
    with pytest.raises(UserError, match="There is no network 'cifar:"):
        build(f"cifar:{name}", 10)


@pytest.mark.parametrize(
    "name",
    [
        "resnet18",
        "resnet50pool",
        "resnet56b",
        "resnet20w8",
        "preactresnet18bn",
        "wideresnet28x10",
        "wideresnet16w40",
        "vgg13w16",
    ],
)
def test_a_name_and_its_parts_are_one(name: str):
    assert str(parse(name)) == name


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("timm:resnet19", "timm has no network 'resnet19'"),
        ("timm:hf-hub:somebody/resnet", "timm has no network"),
        ("timm:resnet18@64", "timm cannot build 'resnet18' for images of 3 channels and 64x64 pixels"),
        ("timm:vit_tiny_patch16_224@huge", "the side of the images in pixels"),
        ("torchvision:vit_b_16@100", "cannot be built for images of 100x100 pixels"),
        ("huggingface:bert", "There is no network 'huggingface:bert'"),
        ("huggingface:vit-d192-l12-h5-m768-p16-s224", "do not fit together"),
        ("nowhere:resnet18", "or torchvision:NAME, timm:NAME, cifar:NAME, huggingface:NAME"),
    ],
)
def test_absurd_names_get_one_sentence(name: str, message: str):
    with pytest.raises(UserError, match=message):
        build(name, 10)


# Published counts of parameters, less the classes that are not there.
PUBLISHED = {
    "cifar:resnet18": 11_173_962,
    "cifar:resnet50": 23_520_842,
    "cifar:resnet110": 1_727_962,  # He et al., table 6: 1.7 million
    "cifar:wideresnet28x10": 36_479_194,  # Zagoruyko and Komodakis, table 4: 36.5 million
    "cifar:wideresnet40x4": 8_949_210,  # 8.9 million
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_usual_networks_have_as_many_parameters_as_published(name: str):
    with torch.device("meta"):
        network = build(name, 10)
    assert sum(parameter.numel() for parameter in network.parameters()) == PUBLISHED[name]


def test_recognising_our_own_networks_does_not_import_timm():
    code = "import sys, invmask.models.recognise; print('timm' in sys.modules, 'torchvision' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False", "False"]


@pytest.mark.parametrize("order", ["the network's", "none"])
def test_blocks_that_are_counted_from_one_are_not_shifted(order: str):
    network = drawn(build("timm:mixer_s32_224", 10, (3, 224, 224)))
    state = {
        re.sub(r"^blocks\.(\d+)", lambda match: f"blocks.{int(match[1]) + 1}", own): tensor
        for own, tensor in network.state_dict().items()
    }
    first = recognise(by_file(state) if order == "none" else state)[0]
    assert (first.architecture, first.exact) == ("timm:mixer_s32_224", True)
    assert first.names["blocks.8.norm2.weight"] == "blocks.7.norm2.weight"
    assert first.names["blocks.1.mlp_tokens.fc1.bias"] == "blocks.0.mlp_tokens.fc1.bias"


def test_a_normalisation_inside_the_model_is_found_and_said():
    network = drawn(build("preactresnet18w4", 10))
    state = {f"model.{name}": tensor for name, tensor in network.state_dict().items()}
    state |= {"normalize.mean": torch.tensor([0.4, 0.5, 0.6]).view(1, 3, 1, 1), "normalize.std": torch.tensor([0.2])}
    state["n_averaged"] = torch.tensor(7)
    first = recognise(state)[0]
    assert (first.architecture, first.exact, first.renamed) == ("preactresnet18w4", True, True)
    assert first.statistics == ("normalize.mean", "normalize.std")
    assert first.normalisation(state) == (pytest.approx((0.4, 0.5, 0.6)), pytest.approx((0.2, 0.2, 0.2)))
    assert first.notes == ("The file holds a normalisation of its own, in normalize.mean and normalize.std.",)
    assert set(first.unused) == {"normalize.mean", "normalize.std", "n_averaged"}
    images = torch.rand(2, *SHAPE)
    assert torch.equal(loaded(first, state)(images), network(images))
    assert recognise(network.state_dict())[0].normalisation(state) is None


HF = "huggingface:vit-d64-l3-h2-m128-p8-s32"


def test_huggingfaces_vision_transformer_is_recognised_with_its_config():
    network = drawn(build(HF, 6))
    state = network.state_dict()
    assert "vit.encoder.layer.2.attention.attention.query.weight" in state
    first = recognise(by_file(state), {"model_type": "vit", "num_attention_heads": 2})[0]
    assert (first.architecture, first.classes, first.size, first.exact, first.renamed) == (HF, 6, (32, 32), True, False)
    assert first.notes == ()
    images = torch.rand(2, *SHAPE)
    assert torch.equal(loaded(first, state)(images), network(images))
    # Nothing in the tensors says how many heads there are.
    assert recognise(state)[0].architecture == HF.replace("h2", "h1")
    assert recognise(state)[0].notes == ("The file does not say how many attention heads it has; 1 were assumed.",)
    assert recognise(state, {"num_attention_heads": "2; drop"})[0].exact


def as_huggingface(name: str) -> str:
    name = re.sub(r"^(conv|bn)1\.", lambda m: f"resnet.embedder.embedder.{KINDS[m[1]]}.", name)
    name = re.sub(
        r"^layer(\d)\.(\d+)\.downsample\.(\d)",
        lambda m: f"resnet.encoder.stages.{int(m[1]) - 1}.layers.{m[2]}.shortcut.{list(KINDS.values())[int(m[3])]}",
        name,
    )
    name = re.sub(
        r"^layer(\d)\.(\d+)\.(conv|bn)(\d)",
        lambda m: f"resnet.encoder.stages.{int(m[1]) - 1}.layers.{m[2]}.layer.{int(m[4]) - 1}.{KINDS[m[3]]}",
        name,
    )
    return name.replace("fc.", "classifier.1.")


KINDS = {"conv": "convolution", "bn": "normalization"}


@pytest.mark.parametrize("depth", ["resnet18", "resnet50"])
def test_huggingfaces_resnet_is_torchvisions_under_other_names(depth: str):
    own = on_meta(f"torchvision:{depth}")
    state = {as_huggingface(one): tensor for one, tensor in own.items()}
    scattered = {one: state[one] for one in sorted(state, key=lambda one: one[::-1])}
    for one in (state, scattered):
        first = recognise(one)[0]
        assert (first.architecture, first.exact) == (f"torchvision:{depth}", True)
        assert first.names == {as_huggingface(name): name for name in own}


def test_an_architecture_that_is_named_is_compared_under_other_names_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("INVMASK_HOME", str(tmp_path))
    state = Wide(2, 3).state_dict()
    found = recognise_as(state, "cifar:wideresnet22x2")
    assert (found.exact, found.classes, found.names["fc.bias"]) == (True, 10, "linear.bias")
    wrong = recognise_as(state, "cifar:wideresnet28x2", 10)
    assert not wrong.exact
    assert "layer1.3.bn1.weight" in wrong.missing
    assert "are missing" in wrong.sentence()
    code = tmp_path / "own.py"
    code.write_text("import tests.unit.test_recognise as given\n\ndef make():\n    return given.Wide(2, 3)\n")
    agree(code)
    own = recognise_as(state, f"code:{code}:make")
    assert (own.exact, own.renamed, own.architecture) == (True, False, f"code:{code}:make")
    with pytest.raises(UserError, match="There is no architecture 'nothing'"):
        recognise_as(state, "nothing")


SHAPES = st.lists(st.integers(0, 1 << 40) | st.integers(0, 64), max_size=5).map(tuple)
PARTS = st.sampled_from(["conv1", "layer1", "0", "1", "bn1", "fc", "vit", "encoder", "weight", "bias", "", "é"])
NAMES = st.lists(PARTS, min_size=1, max_size=5).map(".".join)


class Given:
    """A tensor of any shape, without memory."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(NAMES, SHAPES, min_size=1, max_size=12), st.integers(0, 40))
def test_whatever_names_and_shapes_a_file_has_nothing_breaks(table, changed):
    """Of random tables, and of a known network with a few tensors of absurd shapes."""
    state = {name: Given(shape) for name, shape in table.items()}
    known = dict(on_meta(["preactresnet18w4", HF, "cnn4w4"][changed % 3]))
    for name, shape in zip(list(known)[changed % len(known) :], table.values(), strict=False):
        known[name] = Given(shape)
    for one in (state, known | state, known):
        for candidate in recognise(one):  # type: ignore[arg-type]
            assert candidate.sentence()


def test_a_network_for_this_size_hides_those_for_others():
    names = [one.architecture for one in recognise(on_meta("timm:deit3_base_patch16_384"))]
    assert names == ["timm:deit3_base_patch16_384"]


def test_the_manual_says_what_was_measured():
    measured = json.loads((ROOT / "benchmarks" / "results" / "recognition.json").read_text())
    said = " ".join((ROOT / "docs" / "data.md").read_text().split())
    assert (
        f"Of {measured['networks']} networks of the index drawn at random, {measured['recognised']} were recognised, "
        f"{measured['first']} of them as the first candidate, in a median of {measured['median_seconds']} s"
    ) in said
    assert measured["versions"] == known_networks().versions
