"""Networks of timm (PyTorch Image Models) by name, with fresh weights."""

from typing import Any

import timm
from torch import nn

from invmask.errors import UserError
from invmask.models.enlarged import Enlarged, split_side


def timm_classifier(name: str, num_classes: int, shape: tuple[int, int, int]) -> nn.Module:
    """Timm's network of that name, in `Enlarged` if it takes images of one size only and `shape` is another.

    Args:
        name: as timm has it; what follows a dot names weights and is passed over. ``NAME@SIDE`` is the network for
            images of SIDE x SIDE pixels, where timm can build it so.

    Raises:
        UserError: timm has no network of that name, or cannot build it for such images.
    """
    own, side = split_side(name)
    own = own.partition(".")[0]
    if not timm.is_model(own):
        raise UserError(f"timm has no network '{own}'; choose one such as resnet18 or vit_small_patch16_224.")
    options: dict[str, Any] = {} if side is None else {"img_size": side}
    try:
        network = timm.create_model(own, pretrained=False, num_classes=num_classes, in_chans=shape[0], **options)
    except Exception as error:  # each of hundreds of makers fails in its own way
        images = f"{shape[0]} channel{'s' * (shape[0] > 1)}" + (f" and {side}x{side} pixels" if side else "")
        raise UserError(f"timm cannot build '{own}' for images of {images}.") from error
    needed = side or needed_side(network)
    return network if needed is None or (needed, needed) == tuple(shape[1:]) else Enlarged(network, needed)


def needed_side(network: nn.Module) -> int | None:
    """The side in pixels of the only images that a network of timm takes; None if it takes others, too."""
    settings = getattr(network, "pretrained_cfg", None) or {}
    return settings["input_size"][-1] if settings.get("fixed_input_size") else None
