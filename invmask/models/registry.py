"""Architectures by name. A name may carry a width: ``preactresnet18w16`` has 16 channels in its first stage."""

import re
from collections.abc import Callable

from torch import nn

from invmask.errors import UserError
from invmask.models.preactresnet import PreActResNet18

_BUILDERS: dict[str, Callable[[int, int | None], nn.Module]] = {
    "preactresnet18": lambda classes, width: PreActResNet18(classes, width or 64),
}


def architectures() -> list[str]:
    """Names that `build` knows, without width suffixes."""
    return sorted(_BUILDERS)


def build(architecture: str, num_classes: int) -> nn.Module:
    """A freshly initialised network.

    Args:
        architecture: a name from `architectures`, with an optional ``w<width>`` at its end.
        num_classes: number of logits.

    Raises:
        UserError: no architecture of that name, or a width outside 1 to 1024.
    """
    match = re.fullmatch(r"([a-z0-9_]+?)(?:w(\d+))?", architecture)
    if match is None or match[1] not in _BUILDERS:
        raise UserError(f"There is no architecture '{architecture}'; choose one of: {', '.join(architectures())}.")
    width = int(match[2]) if match[2] else None
    if width is not None and not 1 <= width <= 1024:
        raise UserError(f"The width in '{architecture}' has to be between 1 and 1024.")
    return _BUILDERS[match[1]](num_classes, width)
