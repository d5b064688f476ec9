"""Architectures by name. A name may carry a width: ``preactresnet18w16`` has 16 channels in its first stage."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from invmask.errors import UserError
from invmask.machine import Precision, choose_precision
from invmask.models import cifar, code_file, plain
from invmask.models.known_networks import DEPTHWISE, NORMALISED, TRANSFORMER, known_networks
from invmask.models.preactresnet import PreActResNet
from invmask.models.residual import ThreeStageResNet, WideResNet

Shape = tuple[int, int, int]
MAX_WIDTH = 1024
TORCHVISION = "torchvision:"
"""Prefix of the name of a torchvision classifier: ``torchvision:resnet50``."""
_UNNORMALISED = ("alexnet", "squeezenet", "vgg")
_DEPTHWISE = ("convnext", "efficientnet", "maxvit", "mnasnet", "mobilenet", "shufflenet")


@dataclass(frozen=True)
class Architecture:
    """The description of an architecture.

    Attributes:
        name, title: the name used in victims' names, and the title on screen.
        width: the published or usual width, in the units of `width_means`.
        width_means: what the number after the ``w`` counts.
        source: the paper, and how the network is adapted to small images.
        make: makes a fresh network from (number of classes, width, shape of the images); the width is None if the name
            has none, which means the published network.
        transformer: whether masks are applied to its encoder blocks instead of its convolutions.
        depthwise: whether it has convolutions of one channel each.
        normalised: whether it has BatchNorm, or another normalisation.
    """

    name: str
    title: str
    width: int
    width_means: str
    source: str
    make: Callable[[int, int | None, Shape], nn.Module]
    transformer: bool = False
    depthwise: bool = False
    normalised: bool = True


def _sized(full: str, slim: str | None) -> Callable[[int, int | None, Shape], nn.Module]:
    """Without a width, torchvision's own network; with one, the slim version, by its function's name in `published`."""

    def make(classes: int, width: int | None, shape: Shape) -> nn.Module:
        # Torchvision takes seconds to import, and most networks do not need it.
        from invmask.models import published

        if width is None:
            return published.torchvision_classifier(full, classes, shape)
        if slim is None:
            raise UserError(f"This architecture comes in one width only; leave out w{width}.")
        return getattr(published, slim)(classes, width, shape)

    return make


def _small_vit(classes: int, width: int, shape: Shape) -> nn.Module:
    from invmask.models import published

    return published.small_vit(classes, width, shape)


_AS_IS = "torchvision's own, strides unchanged; with a width the slim form for 32x32 images"
_FIRST = "channels of the first convolution"
_STEM = "channels of the stem, a multiple of 8"

ARCHITECTURES: dict[str, Architecture] = {
    architecture.name: architecture
    for architecture in (
        Architecture(
            "preactresnet18",
            "PreActResNet-18",
            64,
            "channels of the first stage",
            "He et al. 2016, Identity Mappings in Deep Residual Networks; stride 1 and no pooling at first, for 32x32",
            lambda classes, width, shape: PreActResNet(classes, width or 64, shape[0]),
        ),
        Architecture(
            "vgg19bn",
            "VGG-19-BN",
            64,
            _FIRST,
            f"Simonyan and Zisserman 2015; {_AS_IS}",
            _sized("vgg19_bn", "slim_vgg19bn"),
        ),
        Architecture(
            "efficientnetb3",
            "EfficientNet-B3",
            40,
            _STEM,
            f"Tan and Le 2019; {_AS_IS}",
            _sized("efficientnet_b3", "slim_efficientnetb3"),
            depthwise=True,
        ),
        Architecture(
            "mobilenetv3large",
            "MobileNetV3-Large",
            16,
            _STEM,
            f"Howard et al. 2019; {_AS_IS}",
            _sized("mobilenet_v3_large", "slim_mobilenetv3large"),
            depthwise=True,
        ),
        Architecture(
            "vitb16",
            "ViT-B/16",
            768,
            "one width only",
            "Dosovitskiy et al. 2021; torchvision's own, on images enlarged to 224x224",
            _sized("vit_b_16", None),
            transformer=True,
        ),
        Architecture(
            "vit",
            "ViT, small",
            128,
            "dimensions of the embedding, a multiple of 32",
            "Dosovitskiy et al. 2021; torchvision's with six blocks, 4x4 patches and a stem of convolutions",
            lambda classes, width, shape: _small_vit(classes, width or 128, shape),
            transformer=True,
        ),
        Architecture(
            "wideresnet16",
            "WideResNet-16-1",
            16,
            "channels of the first stage, 16 times the widening factor",
            "Zagoruyko and Komodakis 2016, Wide Residual Networks",
            lambda classes, width, shape: WideResNet(classes, width or 16, shape[0]),
        ),
        Architecture(
            "resnet20",
            "ResNet-20",
            16,
            "channels of the first stage",
            "He et al. 2016, Deep Residual Learning for Image Recognition, section 4.2",
            lambda classes, width, shape: ThreeStageResNet(classes, width or 16, shape[0]),
        ),
        Architecture(
            "resnet20bias",
            "ResNet-20, biased",
            16,
            "channels of the first stage",
            "He et al. 2016, Deep Residual Learning for Image Recognition, section 4.2; convolutions with biases",
            lambda classes, width, shape: ThreeStageResNet(classes, width or 16, shape[0], bias=True),
        ),
        Architecture(
            "vgg6bn",
            "VGG6-BN",
            32,
            _FIRST,
            "ours, six convolutions with BatchNorm, after Simonyan and Zisserman 2015",
            lambda classes, width, shape: plain.vgg6(classes, width or 32, shape[0]),
        ),
        Architecture(
            "vgg6bnelu",
            "VGG6-BN-ELU",
            32,
            _FIRST,
            "ours, six convolutions with BatchNorm, after Simonyan and Zisserman 2015; ELU of Clevert et al. 2016",
            lambda classes, width, shape: plain.vgg6(classes, width or 32, shape[0], nn.ELU),
        ),
        Architecture(
            "vgg6bneludropout",
            "VGG6-BN-ELU, dropout",
            32,
            _FIRST,
            "ours, as VGG6-BN-ELU; dropout of 10 % after every stage (Srivastava et al. 2014)",
            lambda classes, width, shape: plain.vgg6(classes, width or 32, shape[0], nn.ELU, dropout=0.1),
        ),
        Architecture(
            "vgg6",
            "VGG6",
            32,
            _FIRST,
            "ours, six convolutions without BatchNorm, after Simonyan and Zisserman 2015",
            lambda classes, width, shape: plain.vgg6(classes, width or 32, shape[0], batchnorm=False),
            normalised=False,
        ),
        Architecture(
            "cnn4",
            "CNN, four convolutions",
            16,
            _FIRST,
            "ours, for 28x28 grey images",
            lambda classes, width, shape: plain.cnn4(classes, width or 16, shape[0]),
        ),
        Architecture(
            "cnn4fc",
            "CNN, four convolutions and two linear layers",
            32,
            _FIRST,
            "ours, without BatchNorm",
            lambda classes, width, shape: plain.PlainCNN(classes, width or 32, shape[0]),
            normalised=False,
        ),
    )
}


def _torchvision(name: str, classes: int, shape: Shape) -> nn.Module:
    from invmask.models import published

    return published.torchvision_classifier(name, classes, shape)


def _timm(name: str, classes: int, shape: Shape) -> nn.Module:
    # Timm, too, takes seconds to import.
    from invmask.models import timm_networks

    return timm_networks.timm_classifier(name, classes, shape)


def _cifar(name: str, classes: int, shape: Shape) -> nn.Module:
    return cifar.cifar_network(name, classes, shape[0])


def _code(place: str, classes: int, _: Shape) -> nn.Module:
    return code_file.network_from_code(place, classes)


def _huggingface(name: str, classes: int, shape: Shape) -> nn.Module:
    from invmask.models import huggingface_vit

    return huggingface_vit.huggingface_network(name, classes, shape)


NAMED: dict[str, Callable[[str, int, Shape], nn.Module]] = {
    "torchvision": _torchvision,
    "timm": _timm,
    "cifar": _cifar,
    "huggingface": _huggingface,
}
"""Makers of networks that others have named, by what stands before the colon."""
_SOURCES = {**NAMED, "code": _code}


def architectures() -> list[str]:
    """Names that `build` knows, without width suffixes and without torchvision's classifiers."""
    return sorted(ARCHITECTURES)


def named_title(architecture: str) -> str:
    """The title of a network that is not one of ours: `resnet50` for `torchvision:resnet50`."""
    source, _, own = architecture.partition(":")
    if source == "cifar":
        try:
            return cifar.parse(own).title
        except UserError:
            return own
    if source == "code":
        return own.rpartition(":")[2] or own
    return own if source in NAMED else architecture


def split_width(architecture: str) -> tuple[str, int | None]:
    """Split ``<name>w<width>`` into name and width. The width is None if there is none; the name is not checked."""
    match = re.fullmatch(r"([a-z0-9_]+?)(?:w(\d{1,9}))?", architecture)
    return (architecture, None) if match is None else (match[1], int(match[2]) if match[2] else None)


def is_transformer(architecture: str) -> bool:
    """Whether masks are applied to encoder blocks in a network of this name, judged by the name only.

    A name that says nothing, such as that of a class of one's own, counts as that of a network of convolutions.
    """
    if architecture.startswith(TORCHVISION):
        return architecture.removeprefix(TORCHVISION).startswith(("vit_", "swin_"))
    known = ARCHITECTURES.get(split_width(architecture)[0])
    return architecture.startswith("huggingface:vit") or (
        _indexed(architecture, TRANSFORMER, False) if known is None else known.transformer
    )


def is_normalised(architecture: str) -> bool:
    """Whether a network of this name has BatchNorm or another normalisation, judged by the name only."""
    if architecture.startswith(TORCHVISION):
        own = architecture.removeprefix(TORCHVISION)
        return not own.startswith(_UNNORMALISED) or own.endswith("_bn")
    known = ARCHITECTURES.get(split_width(architecture)[0])
    return _indexed(architecture, NORMALISED, True) if known is None else known.normalised


def _indexed(architecture: str, flag: int, otherwise: bool) -> bool:
    """What the index of published networks says of a name; `otherwise` if it does not have it."""
    name = re.sub(r"[.@].*", "", architecture)
    found = known_networks().flag(name, flag) if name.startswith("timm:") else None
    return otherwise if found is None else found


def suited_precision(architecture: str, device: str = "cpu") -> Precision:
    """The precision in which a network of this name runs fastest on `device`; usually that of `choose_precision`.

    On the CPU that was measured, networks with depthwise convolutions are slower in bfloat16 than in float32
    (`benchmarks/precision.py`).
    """
    own, known = architecture.removeprefix(TORCHVISION), ARCHITECTURES.get(split_width(architecture)[0])
    if own != architecture:
        depthwise = own.startswith(_DEPTHWISE)
    else:
        depthwise = _indexed(architecture, DEPTHWISE, False) if known is None else known.depthwise
    return "float32" if depthwise and not device.startswith("cuda") else choose_precision(device)


def build(architecture: str, num_classes: int, shape: Shape = (3, 32, 32)) -> nn.Module:
    """A freshly initialised network.

    Args:
        architecture: a name from `architectures`, with an optional ``w<width>`` at its end; or a name behind a source:
            torchvision's classifiers as ``torchvision:<name>``, timm's as ``timm:<name>``, the usual networks for small
            images as ``cifar:<name>``, a class of one's own as ``code:FILE.py:Class``, whose file is run.
        num_classes: number of logits.
        shape: C, H, W of the images.

    Raises:
        UserError: no architecture of that name, or a width that it cannot have.
    """
    source, colon, own = architecture.partition(":")
    if colon and source in _SOURCES:
        return _SOURCES[source](own, num_classes, shape)
    name, width = split_width(architecture)
    if name not in ARCHITECTURES:
        known = f"{', '.join(architectures())}, or {', '.join(f'{source}:NAME' for source in NAMED)}"
        raise UserError(f"There is no architecture '{architecture}'; choose one of: {known}.")
    if width is not None and not 1 <= width <= MAX_WIDTH:
        raise UserError(f"The width in '{architecture}' has to be between 1 and {MAX_WIDTH}.")
    return ARCHITECTURES[name].make(num_classes, width, shape)
