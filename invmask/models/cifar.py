"""The usual networks for 32x32 images by name, in the depths in which they are published.

They are ours, written from the papers; the tensors have the names that most public implementations use. Widths other
than the published follow a ``w``, as in the registry.
"""

import re
from dataclasses import dataclass

from torch import nn

from invmask.errors import UserError
from invmask.models.preactresnet import PreActResNet
from invmask.models.residual import ThreeStageResNet, WideResNet
from invmask.models.stem_resnet import StemResNet

FORM = "resnet18, resnet56, resnet56b, preactresnet34, wideresnet28x10 or vgg16"
BASIC = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
BOTTLENECK = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
VGG = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
DEEPEST, WIDEST = 1202, 1024
_SHORTCUTS = (0, 2, 3)
"""Convolutions in the shortcuts of networks of three stages; a WideResNet of factor 1 has two."""
_IN_REGISTRY = (("preactresnet", 18, ""), ("resnet", 20, ""), ("wideresnet", 16, ""))


@dataclass(frozen=True)
class Name:
    """A name in its parts: family, depth, width of the first stage, and what is special about the form."""

    family: str
    depth: int
    width: int
    form: str = ""

    def __str__(self) -> str:
        if self.family == "wideresnet":
            return f"{self.family}{self.depth}" + (f"x{self.width // 16}" if self.width % 16 == 0 else f"w{self.width}")
        usual = 16 if self.is_three_stage else 64
        return f"{self.family}{self.depth}{self.form}" + ("" if self.width == usual else f"w{self.width}")

    @property
    def title(self) -> str:
        """As it is called in papers: `WideResNet-28-10`; `ResNet-18, width 16` if that is not the published width."""
        if self.family == "wideresnet":
            factor = self.width / 16
            return f"WideResNet-{self.depth}-{factor:g}"
        title = {"resnet": "ResNet", "preactresnet": "PreActResNet", "vgg": "VGG"}[self.family]
        form = {"": "", "b": ", projected shortcuts", "bn": ", last BatchNorm", "pool": ", pooled stem"}[self.form]
        width = "" if self.width == (16 if self.is_three_stage else 64) else f", width {self.width}"
        return f"{title}-{self.depth}{'-BN' if self.family == 'vgg' else ''}{form}{width}"

    @property
    def is_three_stage(self) -> bool:
        """Whether it is a ResNet of 6n + 2 layers (He et al. 2016, section 4.2)."""
        return self.family == "resnet" and self.depth not in BASIC | BOTTLENECK


def parse(name: str) -> Name:
    """The parts of a name.

    Raises:
        UserError: it is none.
    """
    match = re.fullmatch(r"(preactresnet|wideresnet|resnet|vgg)(\d{1,4})(bn|b|pool)?(?:([wx])(\d{1,4}))?", name)
    if match is not None:
        family, depth, form, kind, number = match[1], int(match[2]), match[3] or "", match[4], match[5]
        three = Name(family, depth, 1).is_three_stage or family == "wideresnet"
        width = (16 if three else 64) if number is None else int(number) * (16 if kind == "x" else 1)
        found = Name(family, depth, width, form)
        if _exists(found) and (kind != "x" or family == "wideresnet") and 1 <= width <= WIDEST:
            return found
    raise UserError(f"There is no network 'cifar:{name}'; names are such as {FORM}.")


def _exists(name: Name) -> bool:
    depth = name.depth
    match name.family:
        case "resnet" if name.is_three_stage:
            return name.form in ("", "b") and 8 <= depth <= DEEPEST and depth % 6 == 2
        case "resnet":
            return name.form in ("", "pool")
        case "preactresnet":
            return name.form in ("", "bn") and depth in BASIC | BOTTLENECK
        case "wideresnet":
            return name.form == "" and 10 <= depth <= DEEPEST and depth % 6 == 4
        case _:
            return name.form == "" and depth in VGG


def cifar_network(name: str, num_classes: int, channels: int) -> nn.Module:
    """A network with fresh weights.

    Args:
        name: such as ``resnet18`` (He et al. 2016, as for ImageNet, with a stem for small images; ``resnet18pool`` if
            max-pooling follows it), ``resnet56`` (section 4.2, shortcuts of option A; ``resnet56b`` of option B),
            ``preactresnet34`` (``preactresnet18bn`` with BatchNorm behind the last block), ``wideresnet28x10`` or
            ``vgg16`` (with BatchNorm and one linear layer).

    Raises:
        UserError: there is no such name.
    """
    parts = parse(name)
    depth, width = parts.depth, parts.width
    match parts.family:
        case "wideresnet":
            return WideResNet(num_classes, width, channels, blocks=(depth - 4) // 6)
        case "resnet" if parts.is_three_stage:
            blocks, projected = (depth - 2) // 6, parts.form == "b"
            return ThreeStageResNet(num_classes, width, channels, blocks=blocks, projected=projected)
        case "vgg":
            from invmask.models.published import small_vgg

            return small_vgg(VGG[depth], num_classes, width, channels)
        case "preactresnet":
            blocks = (BASIC | BOTTLENECK)[depth]
            return PreActResNet(num_classes, width, channels, blocks, depth in BOTTLENECK, parts.form == "bn")
    blocks = (BASIC | BOTTLENECK)[depth]
    return StemResNet(num_classes, blocks, width, channels, depth in BOTTLENECK, parts.form == "pool")


def suited(convolutions: int, first: int, second: int) -> list[Name]:
    """The names of networks with that many convolutions, without those that the registry has by other names.

    Args:
        convolutions: their number, shortcuts included.
        first, second: channels of the first and of the second convolution.
    """
    names: list[Name] = []
    for depth, blocks in (BASIC | BOTTLENECK).items():
        if convolutions == _four_stages(depth, blocks):
            names += [Name("resnet", depth, first, form) for form in ("", "pool")]
            names += [Name("preactresnet", depth, first, form) for form in ("", "bn")]
    for beside in _SHORTCUTS:
        blocks, rest = divmod(convolutions - 1 - beside, 6)
        if blocks >= 1 and rest == 0:
            wide = Name("wideresnet", 6 * blocks + 4, second)
            residual = Name("resnet", 6 * blocks + 2, first, "b" if beside else "")
            names += {0: [residual], 2: [residual, wide], 3: [wide]}[beside]
    names += [Name("vgg", depth, first) for depth, stages in VGG.items() if convolutions == sum(stages)]
    return [name for name in names if (name.family, name.depth, name.form) not in _IN_REGISTRY]


def _four_stages(depth: int, blocks: tuple[int, ...]) -> int:
    return 1 + (2 * sum(blocks) + 3 if depth in BASIC else 3 * sum(blocks) + 4)
