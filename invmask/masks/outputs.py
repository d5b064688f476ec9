"""Which modules of a network are masked, and which dimension of their outputs is the channel dimension.

Convolutions return [N, C, H, W]. Encoder blocks of transformers return tokens [N, T, D] (torchvision's ViT, class token
first) or positions [N, H, W, D] (torchvision's Swin); their channels are the D dimensions of the embedding.
"""

import math
import sys

from torch import Tensor, nn

_BLOCKS = (
    ("torchvision.models.vision_transformer", "EncoderBlock"),
    ("torchvision.models.swin_transformer", "SwinTransformerBlock"),
)


def block_types() -> tuple[type[nn.Module], ...]:
    """The known classes of encoder blocks, from the modules that have been imported.

    A network can only have blocks of imported modules, and importing torchvision takes seconds.
    """
    return tuple(getattr(sys.modules[module], name) for module, name in _BLOCKS if module in sys.modules)


def is_block(module: nn.Module) -> bool:
    """Whether `module` is an encoder block of a transformer."""
    return isinstance(module, block_types())


def is_transformer(model: nn.Module) -> bool:
    """Whether the masked layers of `model` are encoder blocks rather than convolutions."""
    return any(map(is_block, model.modules()))


def block_width(block: nn.Module) -> int:
    """D, the embedding dimension of an encoder block's output, read from its last normalisation."""
    norms = [module for module in block.children() if isinstance(module, nn.LayerNorm)]
    return norms[-1].normalized_shape[-1]


def shape_gate(module: nn.Module, gate: Tensor, output: Tensor) -> Tensor:
    """Reshape gates [G, C], G = 1 or N, so that they broadcast over `output` of `module` channel by channel."""
    between = [1] * (output.ndim - 2)
    if isinstance(module, nn.Conv2d):
        return gate.reshape(*gate.shape, *between)
    return gate.reshape(gate.shape[0], *between, gate.shape[1])


def channels_first(module: nn.Module, output: Tensor) -> Tensor:
    """`output` of a masked layer as [N, C, positions], with every position or token."""
    return (output if isinstance(module, nn.Conv2d) else output.movedim(-1, 1)).flatten(2)


def as_maps(module: nn.Module, output: Tensor) -> Tensor:
    """`output` of a masked layer as maps [N, C, H, W]. A class token, which has no position, is left out.

    Raises:
        ValueError: the tokens do not form a square.
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
    """The index into one sample's `output` of a channel's value at `row` and `column` of `as_maps`."""
    if isinstance(module, nn.Conv2d):
        return channel, row, column
    if output.ndim == 4:
        return row, column, channel
    places = output.shape[1]
    side = math.isqrt(places)
    return places - side * side + row * side + column, channel
