"""Torchvision's networks: as published, and slim versions of some for small images.

A full-size network is torchvision's own with its strides, as in the backdoor benchmarks, so checkpoints with
torchvision's names fit. VGG-19-BN, EfficientNet-B3 and MobileNetV3-Large reduce a 32x32 image to a single position.
Images that are too small for a network are enlarged first (a Vision Transformer takes 224x224).

A slim version is made for 32x32 images: it has fewer channels and one downsampling step less, so that 2x2 positions are
left at the end. With two steps less, a CPU would take several times as long.
"""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

from torch import nn
from torchvision.models import MobileNetV3, get_model, get_model_weights, list_models, mobilenet_v3_large
from torchvision.models.efficientnet import EfficientNet, MBConvConfig
from torchvision.models.vgg import make_layers
from torchvision.models.vision_transformer import ConvStemConfig, VisionTransformer

from invmask.errors import UserError
from invmask.models.enlarged import Enlarged, split_side

VGG19_STAGES = ((1, 1), (2, 2), (4,) * 4, (8,) * 4, (8,) * 4)
"""Channels of VGG-19's convolutions (configuration E), as multiples of the first convolution's."""
B0_STAGES = (
    (1, 3, 1, 32, 16, 1),
    (6, 3, 2, 16, 24, 2),
    (6, 5, 2, 24, 40, 2),
    (6, 3, 2, 40, 80, 3),
    (6, 5, 1, 80, 112, 3),
    (6, 5, 2, 112, 192, 4),
    (6, 3, 1, 192, 320, 1),
)
"""EfficientNet-B0's stages (Tan and Le 2019, table 1): expansion, kernel, stride, channels in and out, blocks."""
B3_WIDTH, B3_DEPTH, B3_STEM = 1.2, 1.4, 40
MOBILENET_STEM = 16
VIT_PATCH, VIT_DEPTH, VIT_HEAD = 4, 6, 32


def torchvision_names() -> list[str]:
    """The classifiers that torchvision has by name."""
    import torchvision.models

    return list_models(module=torchvision.models)


def torchvision_classifier(name: str, num_classes: int, shape: tuple[int, int, int]) -> nn.Module:
    """Torchvision's network of that name with fresh weights, in `Enlarged` if images of `shape` are too small for it.

    Grey images are not copied to three channels; the first convolution gets as many input channels as the images have.

    Args:
        name: a Vision Transformer for images of another size than the published is ``vit_b_16@384``.

    Raises:
        UserError: torchvision has no classifier of that name, or not in that size.
    """
    name, side = split_side(name)
    network = new_classifier(name, num_classes, shape[0], side)
    weights = next(iter(get_model_weights(name)))
    smallest = max(weights.meta["min_size"])
    if isinstance(network, VisionTransformer):
        # The image size of the published weights may differ from that of the network, which counts here.
        return Enlarged(network, network.image_size)
    if min(shape[1:]) >= smallest:
        return network
    return Enlarged(network, weights.transforms.keywords["crop_size"])


def new_classifier(name: str, num_classes: int, channels: int, side: int | None = None) -> nn.Module:
    """Torchvision's network of that name with fresh weights, for images of any size that it takes.

    Args:
        side: pixels of the images' sides, for a Vision Transformer; the published size if not given.

    Raises:
        UserError: torchvision has no classifier of that name, or not in that size.
    """
    if name not in torchvision_names():
        raise UserError(f"Torchvision has no classifier '{name}'; choose one such as resnet18, resnet50 or vit_b_16.")
    # Without auxiliary heads: they return several outputs in training, and their initialisation warns that it is slow.
    more: dict[str, Any] = {"aux_logits": False, "init_weights": False} if name in ("googlenet", "inception_v3") else {}
    if side is not None:
        patch = int(name.rpartition("_")[2]) if name.startswith("vit_") else 0
        if not patch or side % patch:
            raise UserError(f"Torchvision's '{name}' cannot be built for images of {side}x{side} pixels.")
        more["image_size"] = side
    network = get_model(name, weights=None, num_classes=num_classes, **more)
    fit_channels(network, channels)
    return network


def fit_channels(network: nn.Module, channels: int) -> None:
    """Make the first convolution accept `channels` input channels; if that changes it, its weights are drawn anew."""
    name, first = next((name, module) for name, module in network.named_modules() if isinstance(module, nn.Conv2d))
    if first.in_channels == channels:
        return
    fresh = nn.Conv2d(
        channels,
        first.out_channels,
        first.kernel_size,  # type: ignore[arg-type]
        first.stride,  # type: ignore[arg-type]
        first.padding,  # type: ignore[arg-type]
        bias=first.bias is not None,
    )
    parent, _, own = name.rpartition(".")
    setattr(network.get_submodule(parent), own, fresh)


def slim_vgg19bn(num_classes: int, width: int, shape: tuple[int, int, int]) -> nn.Module:
    """VGG-19-BN with `width` channels in its first convolution (64 published), average pooling and a linear head."""
    sizes = [[width * times for times in stage] for stage in VGG19_STAGES]
    # Without the last pooling, which would leave one position; the average pooling does the same.
    layout = [size for stage in sizes for size in (*stage, "M")][:-1]
    network = nn.Sequential(
        OrderedDict(
            features=make_layers(layout, batch_norm=True),  # type: ignore[arg-type]
            avgpool=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
            classifier=nn.Linear(8 * width, num_classes),
        )
    )
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    fit_channels(network, shape[0])
    return network


def small_vgg(stages: tuple[int, ...], num_classes: int, width: int, channels: int) -> nn.Module:
    """A VGG with BatchNorm, pooling after each of five stages, and one linear layer, for 32x32 images.

    Args:
        stages: convolutions of each stage; the stages have `width` and 2, 4, 8 and 8 times as many channels.
    """
    layout: list[str | int] = []
    for count, times in zip(stages, (1, 2, 4, 8, 8), strict=True):
        layout += [*[width * times] * count, "M"]
    network = nn.Sequential(
        OrderedDict(
            features=make_layers(layout, batch_norm=True),  # type: ignore[arg-type]
            flatten=nn.Flatten(),
            classifier=nn.Linear(8 * width, num_classes),
        )
    )
    fit_channels(network, channels)
    return network


def slim_mobilenetv3large(num_classes: int, width: int, shape: tuple[int, int, int]) -> nn.Module:
    """MobileNetV3-Large with `width` channels in its stem (16 published) and all others scaled alike.

    Raises:
        UserError: torchvision rounds channels to multiples of 8, and `width` is none.
    """
    _check_multiple(width, 8)
    network = mobilenet_v3_large(weights=None, num_classes=num_classes, width_mult=width / MOBILENET_STEM)
    assert isinstance(network, MobileNetV3)
    keep_places(network, 1)
    fit_channels(network, shape[0])
    return network


def slim_efficientnetb3(num_classes: int, width: int, shape: tuple[int, int, int]) -> nn.Module:
    """EfficientNet-B3 with `width` channels in its stem (40 published), all others scaled alike, its depth unchanged.

    Raises:
        UserError: torchvision rounds channels to multiples of 8, and `width` is none.
    """
    _check_multiple(width, 8)
    times = B3_WIDTH * width / B3_STEM
    stages = [MBConvConfig(*stage[:5], stage[5], width_mult=times, depth_mult=B3_DEPTH) for stage in B0_STAGES]
    network = EfficientNet(stages, dropout=0.2, num_classes=num_classes)
    keep_places(network, 1)
    fit_channels(network, shape[0])
    return network


def small_vit(num_classes: int, width: int, shape: tuple[int, int, int]) -> nn.Module:
    """A Vision Transformer of six blocks: patches of 4x4 pixels, `width` dimensions, heads of 32, an MLP twice as wide.

    Two convolutions of stride 2 embed the patches (Xiao et al. 2021, "Early convolutions help transformers see
    better"). With a single convolution the network does not train well on a set as small as CIFAR-10.

    Raises:
        UserError: the width is not a multiple of 32, or the images are not square or cannot be tiled by 4x4 patches.
    """
    _check_multiple(width, VIT_HEAD)
    if shape[1] != shape[2] or shape[1] % VIT_PATCH:
        raise UserError(f"The architecture 'vit' needs square images of a side that {VIT_PATCH} divides.")
    stem = [ConvStemConfig(width // 2, 3, 2), ConvStemConfig(width, 3, 2)]
    network = VisionTransformer(
        shape[1],
        VIT_PATCH,
        VIT_DEPTH,
        width // VIT_HEAD,
        width,
        2 * width,
        num_classes=num_classes,
        conv_stem_configs=stem,
    )
    fit_channels(network, shape[0])
    return network


def keep_places(network: nn.Module, halvings: int) -> None:
    """Remove the first `halvings` downsampling steps: their strides of 2 become 1."""
    for convolution in list(_halving(network))[:halvings]:
        convolution.stride = (1, 1)


def _halving(network: nn.Module) -> Iterator[nn.Conv2d]:
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.stride == (2, 2):
            yield module


def _check_multiple(width: int, of: int) -> None:
    if width % of:
        raise UserError(f"The width of this architecture has to be a multiple of {of}, not {width}.")
