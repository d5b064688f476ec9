"""What is masked in a network, and where the outputs of masked layers have their channels.

Convolutions give [N, C, H, W]. A transformer's encoder blocks give tokens [N, T, D] (torchvision's ViT, a class token
first) or places [N, H, W, D] (its Swin); their channels are the D dimensions of the embedding.
"""

import math
import sys

from torch import Tensor, nn

_BLOCKS = (
    ("torchvision.models.vision_transformer", "EncoderBlock"),
    ("torchvision.models.swin_transformer", "SwinTransformerBlock"),
)


def block_types() -> tuple[type[nn.Module], ...]:
    """The encoder blocks that are known, of the modules that have been imported.

    No network has blocks of another one, and importing torchvision takes seconds.
    """
    return tuple(getattr(sys.modules[module], name) for module, name in _BLOCKS if module in sys.modules)


def is_block(module: nn.Module) -> bool:
    """Whether `module` is an encoder block of a transformer."""
    return isinstance(module, block_types())


def is_transformer(model: nn.Module) -> bool:
    """Whether the masked layers of `model` are encoder blocks rather than convolutions."""
    return any(map(is_block, model.modules()))


def block_width(block: nn.Module) -> int:
    """D, the embedding dimension of an encoder block's output: what its last normalisation runs over."""
    norms = [module for module in block.children() if isinstance(module, nn.LayerNorm)]
    return norms[-1].normalized_shape[-1]


def shape_gate(module: nn.Module, gate: Tensor, output: Tensor) -> Tensor:
    """Gates [G, C], G = 1 or N, so that they multiply `output` of `module` channel by channel."""
    between = [1] * (output.ndim - 2)
    if isinstance(module, nn.Conv2d):
        return gate.reshape(*gate.shape, *between)
    return gate.reshape(gate.shape[0], *between, gate.shape[1])


def channels_first(module: nn.Module, output: Tensor) -> Tensor:
    """`output` of a masked layer as [N, C, places], every place and token."""
    return (output if isinstance(module, nn.Conv2d) else output.movedim(-1, 1)).flatten(2)


def as_maps(module: nn.Module, output: Tensor) -> Tensor:
    """`output` of a masked layer as pictures [N, C, H, W]; a class token, which has no place in the image, is left out.

    Raises:
        ValueError: tokens that fill no square.
    """
    if isinstance(module, nn.Conv2d):
        return output
    first = output.movedim(-1, 1)
    if first.ndim == 4:
        return first
    side = math.isqrt(first.shape[2])
    extra = first.shape[2] - side**2
    if extra not in (0, 1):
        raise ValueError(f"{first.shape[2]} tokens fill no square")
    return first[:, :, extra:].unflatten(2, (side, side))


def neuron_index(module: nn.Module, output: Tensor, channel: int, row: int, column: int) -> tuple[int, ...]:
    """Where in one sample's `output` the place at `row` and `column` of `as_maps` lies, for a channel."""
    if isinstance(module, nn.Conv2d):
        return channel, row, column
    if output.ndim == 4:
        return row, column, channel
    places = output.shape[1]
    side = math.isqrt(places)
    return places - side * side + row * side + column, channel
