"""Architectures by name: what they give, what they are published to be, and IMS on each."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
import torchvision
from torch import nn

from invmask import machine
from invmask.data.images import CIFAR10, DATASETS
from invmask.defenses.base import Subject, drive
from invmask.defenses.ims.config import ON_TRANSFORMERS, PRESETS, Phase, preset
from invmask.defenses.ims.stepper import IMS
from invmask.errors import UserError
from invmask.masks.attach import attached
from invmask.masks.outputs import is_block
from invmask.masks.state import MaskLayout
from invmask.models import Classifier, architectures, build, is_transformer, suited_precision
from invmask.models.preactresnet import PreActResNet
from invmask.models.published import torchvision_names
from invmask.models.registry import ARCHITECTURES, is_normalised
from invmask.victims.make import check_network
from invmask.victims.victim import new_model

NARROW = {
    "preactresnet18": "preactresnet18w4",
    "vgg19bn": "vgg19bnw4",
    "efficientnetb3": "efficientnetb3w8",
    "mobilenetv3large": "mobilenetv3largew8",
    "vitb16": None,
    "vit": "vitw32",
    "wideresnet16": "wideresnet16w4",
    "resnet20": "resnet20w4",
    "resnet20bias": "resnet20biasw4",
    "vgg6bn": "vgg6bnw4",
    "vgg6bnelu": "vgg6bneluw4",
    "vgg6bneludropout": "vgg6bneludropoutw4",
    "vgg6": "vgg6w4",
    "cnn4": "cnn4w4",
    "cnn4fc": "cnn4fcw4",
}
"""A small form of each; None where there is none."""
SMALL = [name for name in NARROW.values() if name]
COLOUR, GREY, LARGE = (3, 32, 32), (1, 28, 28), (3, 64, 64)


def fresh(name: str, classes: int, shape: tuple[int, int, int] = COLOUR) -> nn.Module:
    """A network whose answers depend on its images: torchvision's Vision Transformers begin with a head of zeros."""
    torch.manual_seed(0)
    network = build(name, classes, shape).eval()
    for layer, module in network.named_modules():
        if layer.endswith("heads.head"):
            nn.init.normal_(module.weight)
    return network


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def on_meta(name: str, classes: int = 10) -> nn.Module:
    with torch.device("meta"):
        return build(name, classes)


def test_every_architecture_is_tested():
    assert set(NARROW) == set(ARCHITECTURES) == set(architectures())


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize(("shape", "classes"), [(COLOUR, 10), (GREY, 10), (LARGE, 43)])
def test_every_architecture_gives_logits_gradients_and_the_same_answer_twice(name, shape, classes):
    network = fresh(name, classes, shape)
    images = torch.rand(3, *shape, requires_grad=True)
    logits = network(images)
    assert logits.shape == (3, classes)
    assert torch.equal(network(images), logits)
    logits.square().sum().backward()
    assert images.grad is not None
    assert all(parameter.grad is not None for parameter in network.parameters())
    assert float(images.grad.abs().sum()) > 0
    network.train()(images).sum().backward()


@pytest.mark.parametrize("name", architectures())
def test_masks_lie_on_every_convolution_or_on_every_block(name):
    network = on_meta(name)
    layout = MaskLayout.of(network)
    wanted = is_block if is_transformer(name) else lambda module: isinstance(module, nn.Conv2d)
    assert [layer.name for layer in layout.layers] == [name for name, m in network.named_modules() if wanted(m)]
    assert ARCHITECTURES[name].transformer == any(map(is_block, network.modules()))


def is_depthwise(module: nn.Module) -> bool:
    return isinstance(module, nn.Conv2d) and module.groups == module.in_channels > 1


def is_normalising(module: nn.Module) -> bool:
    return isinstance(module, (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm))


def of_all_kinds() -> Iterator[tuple[str, nn.Module]]:
    published = torchvision.models.list_models(module=torchvision.models)
    # RegNets draw their stages by tensors, which have to hold numbers: the smallest stands for all.
    named = [f"torchvision:{name}" for name in published if not name.startswith("regnet")]
    for name in (*architectures(), "mobilenetv3largew8", "vgg6w8", *named, "torchvision:regnet_y_400mf"):
        yield name, build(name, 10) if "regnet" in name else on_meta(name)


def test_what_is_said_of_normalisation_by_the_name_holds_of_the_network():
    found = {name: any(map(is_normalising, network.modules())) for name, network in of_all_kinds()}
    assert {name: is_normalised(name) for name in found} == found
    assert {name for name, normalised in found.items() if not normalised} >= {"vgg6", "torchvision:vgg11"}


def test_depthwise_networks_alone_run_in_float32_on_processors_that_have_bfloat16(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(machine, "has_bfloat16", lambda device="cpu": True)
    for name, network in of_all_kinds():
        depthwise = any(map(is_depthwise, network.modules()))
        assert suited_precision(name) == ("float32" if depthwise else "bfloat16"), name
        assert suited_precision(name, "cuda:0") == "bfloat16"
    monkeypatch.setattr(machine, "has_bfloat16", lambda device="cpu": False)
    assert suited_precision("preactresnet18") == suited_precision("preactresnet18", "cuda") == "float32"


def test_a_cuda_device_that_has_to_emulate_bfloat16_has_none(monkeypatch: pytest.MonkeyPatch):
    asked = []

    def supported(including_emulation: bool = True) -> bool:
        asked.append(including_emulation)
        return including_emulation

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "device", lambda name: contextlib.nullcontext(asked.append(name)))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert not machine.has_bfloat16("cuda:0")
    assert asked == ["cuda:0", False]
    assert not machine.has_bfloat16("cuda:1")
    assert len(asked) == 2


# Torchvision's own counts for 1,000 classes (its documentation), less the classes that are not there.
PUBLISHED = {
    "vgg19bn": 143_678_248 - 990 * 4097,
    "efficientnetb3": 12_233_232 - 990 * 1537,
    "mobilenetv3large": 5_483_032 - 990 * 1281,
    "vitb16": 86_567_656 - 990 * 769,
    "preactresnet18": 11_171_146,  # 18 layers for 32x32 images without a last normalisation
    "resnet20": 269_722,  # He et al., table 6: 0.27 million
    "wideresnet16": 175_066,  # Zagoruyko and Komodakis: 0.2 million
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_full_size_networks_have_as_many_parameters_as_published(name):
    assert count(on_meta(name)) == PUBLISHED[name]


@pytest.mark.parametrize(
    ("name", "channels"),
    [
        ("preactresnet18w16", 16),
        ("vgg19bnw24", 24),
        ("efficientnetb3w16", 16),
        ("efficientnetb3w40", 40),
        ("mobilenetv3largew24", 24),
        ("vitw96", 96),
        ("vgg6bneluw10", 10),
        ("cnn4w8", 8),
    ],
)
def test_the_width_is_read_from_the_name(name, channels):
    network = build(name, 10)
    first = next(module for module in network.modules() if isinstance(module, nn.Conv2d))
    # A Vision Transformer's width is its embedding's, which its first convolution has half of.
    assert first.out_channels == (channels // 2 if name.startswith("vit") else channels)


def test_slim_networks_scale_with_the_full_ones():
    quarter, standard = build("preactresnet18w16", 10), on_meta("preactresnet18")
    assert count(quarter) < 0.08 * count(standard)
    assert count(build("efficientnetb3w40", 10)) == count(on_meta("efficientnetb3"))
    assert count(build("mobilenetv3largew16", 10)) == count(on_meta("mobilenetv3large"))
    assert len(MaskLayout.of(build("vgg19bnw4", 10)).layers) == len(MaskLayout.of(on_meta("vgg19bn")).layers)


@pytest.mark.parametrize("name", ["efficientnetb3w8", "mobilenetv3largew8", "vgg19bnw4"])
def test_slim_networks_keep_more_places_than_the_full_ones(name):
    network = build(name, 10).eval()
    places = network.features(torch.rand(1, 3, 32, 32)).shape[2:]
    assert tuple(places) == (2, 2)


def test_depthwise_layers_are_masked_channel_by_channel():
    torch.manual_seed(0)
    network = build("mobilenetv3largew8", 10).eval()
    layout = MaskLayout.of(network)
    modules = dict(network.named_modules())
    depthwise = [layer for layer in layout.layers if modules[layer.name].groups > 1]
    assert len(depthwise) == 15
    gates = torch.ones(layout.channels)
    gates[depthwise[0].offset] = 0
    kept = []
    handle = modules[depthwise[0].name].register_forward_hook(lambda m, i, output: kept.append(output))
    plain = network(torch.rand(2, 3, 32, 32))
    with attached(network, layout, gates):
        network(torch.rand(2, 3, 32, 32))
    handle.remove()
    assert plain.shape == (2, 10)
    # A depthwise filter's own channel alone is cut; the hook sees the output before the gate.
    modules[depthwise[0].name].weight.data[0] = 0
    images = torch.rand(2, 3, 32, 32)
    cut = network(images)
    with attached(network, layout, gates):
        torch.testing.assert_close(network(images), cut)


def test_the_standard_network_has_the_names_of_the_usual_implementation():
    names = set(build("preactresnet18", 10).state_dict())
    assert {"conv1.weight", "layer1.0.bn1.running_mean", "layer2.0.shortcut.0.weight", "linear.bias"} <= names
    assert not any(name.startswith("layer1.0.shortcut") for name in names)
    assert isinstance(build("preactresnet18", 10), PreActResNet)


@pytest.mark.parametrize("name", ["resnet18", "alexnet", "squeezenet1_1", "vit_b_32", "swin_t", "googlenet"])
def test_any_of_torchvisions_classifiers(name):
    network = fresh(f"torchvision:{name}", 5)
    layout = MaskLayout.of(network)
    gates = torch.ones(layout.channels)
    images = torch.rand(1, 3, 32, 32)
    logits = network(images)
    assert logits.shape == (1, 5)
    gates[: layout.layers[0].channels] = 0
    with attached(network, layout, gates):
        assert not torch.equal(network(images), logits)
    assert is_transformer(f"torchvision:{name}") == any(map(is_block, network.modules()))


def test_every_classifier_of_torchvision_is_known_and_none_else():
    names = torchvision.models.list_models(module=torchvision.models)
    assert len(names) > 70
    with torch.device("meta"):
        for name in ("resnet50", "convnext_tiny", "maxvit_t", "inception_v3"):
            assert name in names
            build(f"torchvision:{name}", 3)
    for name in ("resnet1", "raft_large", "deeplabv3_resnet50", "quantized_resnet18"):
        with pytest.raises(UserError, match=f"Torchvision has no classifier '{name}'"):
            build(f"torchvision:{name}", 3)


def test_small_images_are_enlarged_for_networks_that_cannot_take_them():
    seen = []
    network = build("vitb16", 4)
    network.network.conv_proj.register_forward_hook(lambda m, inputs, o: seen.append(inputs[0].shape))
    network.eval()(torch.rand(1, 3, 32, 32))
    assert seen == [(1, 3, 224, 224)]


@pytest.mark.parametrize("name", [name for name in torchvision_names() if name.startswith("vit_")])
def test_a_vision_transformer_gets_images_of_its_own_size(name: str):
    network = on_meta(f"torchvision:{name}")
    assert network.side == network.network.image_size
    assert network.eval()(torch.empty(1, 3, 32, 32, device="meta")).shape == (1, 10)


@pytest.mark.parametrize("side", [4, 8, 12, 16, 28])
@pytest.mark.parametrize("name", SMALL)
def test_a_network_is_refused_where_nothing_of_the_images_is_left_for_it(
    name: str, side: int, monkeypatch: pytest.MonkeyPatch
):
    tiny = replace(CIFAR10, name="tiny", title="Tiny pictures", shape=(3, side, side))
    monkeypatch.setitem(DATASETS, "tiny", tiny)
    check_network.cache_clear()
    try:
        new_model("tiny", name).eval()(torch.rand(1, 3, side, side))
    except RuntimeError:
        said = f"Images of {side}x{side} pixels, as in Tiny pictures, are too small for the architecture '{name}'"
        with pytest.raises(UserError, match=said):
            check_network("tiny", name)
    else:
        check_network("tiny", name)
    check_network.cache_clear()


@pytest.mark.parametrize("name", ["regnet_y_400mf", "swin_t", "maxvit_t", "inception_v3", "vit_b_32", "densenet121"])
def test_networks_of_torchvision_are_for_small_images(name: str):
    check_network("cifar10", f"torchvision:{name}")


@pytest.mark.parametrize("name", ["resnet18", "PreActResNet", "preactresnet18w", "preactresnet18 w16", ""])
def test_unknown_architectures_are_refused_by_name(name: str):
    with pytest.raises(UserError, match="There is no architecture"):
        build(name, 10)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("preactresnet18w0", "between 1 and 1024"),
        ("preactresnet18w1025", "between 1 and 1024"),
        ("preactresnet18w100000000", "between 1 and 1024"),
        ("vitb16w64", "one width only"),
        ("vitw48", "multiple of 32, not 48"),
        ("mobilenetv3largew12", "multiple of 8, not 12"),
        ("efficientnetb3w4", "multiple of 8, not 4"),
    ],
)
def test_widths_that_cannot_be_are_refused(name, message):
    with pytest.raises(UserError, match=message):
        build(name, 10)


def test_a_small_transformer_needs_images_that_its_patches_tile():
    for shape in ((3, 30, 30), (3, 32, 28)):
        with pytest.raises(UserError, match="square images of a side that 4 divides"):
            build("vitw32", 10, shape)


def test_a_classifier_normalises_its_own_input(narrow: Classifier):
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    mean = torch.tensor(CIFAR10.mean).view(1, 3, 1, 1)
    std = torch.tensor(CIFAR10.std).view(1, 3, 1, 1)
    assert torch.equal(narrow(images), narrow.network((images - mean) / std))


def test_normalisation_is_no_part_of_the_stored_weights(narrow: Classifier):
    assert all(name.startswith("network.") for name in narrow.state_dict())


@pytest.mark.parametrize("dataset", DATASETS)
def test_a_new_model_fits_its_data_set(dataset):
    model, info = new_model(dataset, "preactresnet18w2"), DATASETS[dataset]
    assert model.eval()(torch.rand(2, *info.shape)).shape == (2, len(info.classes))


def test_an_unknown_data_set_is_refused():
    with pytest.raises(UserError, match="There is no data set 'svhn'"):
        new_model("svhn", "preactresnet18w4")


def test_each_answer_depends_on_its_own_image_alone(narrow: Classifier):
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    changed = images.clone()
    changed[1:] = 0
    torch.testing.assert_close(narrow(images)[0], narrow(changed)[0])


@pytest.mark.parametrize("name", SMALL)
def test_a_round_of_each_phase_of_ims(name):
    network = fresh(name, 4).requires_grad_(False)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    short = {"rounds_initialise": 1, "rounds_minimise": 1, "rounds_sparsify": 1, "inner_steps": 1}
    short |= {"rounds_search": 4, "search_steps": 1}
    defense = IMS(replace(preset("default", transformer=is_transformer(name)), clear_lead=20, **short))
    subject = Subject(network, torch.rand(4, 3, 32, 32), 4)
    rounds = list(drive(defense, subject, defense.init(subject)))
    assert [record.stage for _, record in rounds] == [Phase.SEARCH] * 4 + list(Phase)[1:]
    assert rounds[-1][1].counts["channels"] == MaskLayout.of(network).channels
    masks = defense.masks(rounds[-1][0])
    assert bool((masks.mask != rounds[0][0].mask).any())
    assert bool(masks.mask.isfinite().all())
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())


def test_presets_change_on_transformers_and_the_published_one_as_published():
    assert preset("paper").sparsity_weight == 10
    assert preset("paper").rounds_search == 0
    assert preset("paper", transformer=True) == replace(preset("paper"), sparsity_weight=0)
    for name in PRESETS:
        changes = ON_TRANSFORMERS.get(name, {})
        assert preset(name, transformer=True) == replace(preset(name), **changes)
    assert preset("paper", transformer=True, sparsity_weight=3).sparsity_weight == 3


def test_variants_differ_from_their_kind_in_what_they_are_named_for():
    biased, plain = build("resnet20biasw4", 10), build("resnet20w4", 10)
    convolutions = [module for module in biased.modules() if isinstance(module, nn.Conv2d)]
    assert all(module.bias is not None and bool(module.bias.all()) for module in convolutions)
    assert count(biased) - count(plain) == sum(module.out_channels for module in convolutions)
    images = torch.rand(2, *COLOUR)
    dropping = build("vgg6bneludropoutw4", 10)
    assert sum(isinstance(module, nn.Dropout) for module in dropping.modules()) == 3
    assert set(dropping.state_dict()) == set(build("vgg6bneluw4", 10).state_dict())
    assert not torch.equal(dropping(images), dropping(images))
