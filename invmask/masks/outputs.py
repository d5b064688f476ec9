"""Which modules of a network are masked, and which dimension of their outputs is the channel dimension.

Convolutions return [N, C, H, W]. Encoder blocks of transformers return tokens [N, T, D] (as in a ViT, class token
first) or positions [N, H, W, D] (as in Swin); their channels are the D dimensions of the embedding. Blocks of
torchvision, timm and Hugging Face's spelling are known here.
"""

import math
import sys

from torch import Tensor, nn

_BLOCKS = {
    "torchvision.models.vision_transformer": ("EncoderBlock",),
    "torchvision.models.swin_transformer": ("SwinTransformerBlock",),
    "invmask.models.huggingface_vit": ("Layer",),
    "timm.models.vision_transformer": ("Block", "ResPostBlock", "ParallelScalingBlock", "ParallelThingsBlock"),
    "timm.models.vision_transformer_relpos": ("RelPosBlock", "ResPostRelPosBlock"),
    "timm.models.eva": ("EvaBlock", "EvaBlockPostNorm"),
    "timm.models.beit": ("Block",),
    "timm.models.cait": ("LayerScaleBlock",),
    "timm.models.convit": ("Block",),
    "timm.models.xcit": ("XCABlock",),
    "timm.models.mlp_mixer": ("MixerBlock", "SpatialGatingBlock"),
    "timm.models.swin_transformer": ("SwinTransformerBlock",),
    "timm.models.swin_transformer_v2": ("SwinTransformerV2Block",),
}
"""Classes of blocks whose outputs have the embedding's dimensions last, by module."""
_CHANNELS_FIRST = (nn.Conv2d, nn.modules.batchnorm._BatchNorm, nn.GroupNorm)
_MOST_EXTRA = 5
"""Tokens beside those of positions: a class token and four registers (Darcet et al. 2024)."""


def block_types() -> tuple[type[nn.Module], ...]:
    """The known classes of encoder blocks, from the modules that have been imported.

    A network can only have blocks of imported modules, and importing torchvision or timm takes seconds.
    """
    loaded = [(sys.modules[module], names) for module, names in _BLOCKS.items() if module in sys.modules]
    # Another thread may be importing the module, which then lacks its classes for a moment.
    return tuple(
        kind for module, names in loaded for name in names if (kind := getattr(module, name, None)) is not None
    )


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


def width(module: nn.Module) -> int | None:
    """The number of channels of a module's output; None if the module is of no kind that can be masked."""
    match module:
        case nn.Conv2d():
            return module.out_channels
        case nn.Linear():
            return module.out_features
        case nn.BatchNorm2d():
            return module.num_features
        case nn.GroupNorm():
            return module.num_channels
        case nn.LayerNorm() if len(module.normalized_shape) == 1:
            return module.normalized_shape[0]
        case _ if is_block(module):
            return block_width(module)
    return None


def _is_channels_first(module: nn.Module) -> bool:
    # Torchvision and timm have a LayerNorm for maps, which derives from the usual one.
    return isinstance(module, _CHANNELS_FIRST) or type(module).__name__ == "LayerNorm2d"


def shape_gate(module: nn.Module, gate: Tensor, output: Tensor) -> Tensor:
    """Reshape gates [G, C], G = 1 or N, so that they broadcast over `output` of `module` channel by channel."""
    between = [1] * (output.ndim - 2)
    if _is_channels_first(module):
        return gate.reshape(*gate.shape, *between)
    return gate.reshape(gate.shape[0], *between, gate.shape[1])


def channels_first(module: nn.Module, output: Tensor) -> Tensor:
    """`output` of a masked layer as [N, C, positions], with every position or token."""
    first = output if _is_channels_first(module) else output.movedim(-1, 1)
    return first[:, :, None] if first.ndim == 2 else first.flatten(2)


def as_maps(module: nn.Module, output: Tensor) -> Tensor:
    """`output` of a masked layer as maps [N, C, H, W]. Tokens without a position (class, registers) are left out.

    The output of a linear layer behind the pooling is one position.

    Raises:
        ValueError: the tokens do not form a square.
    """
    if _is_channels_first(module):
        return output
    first = output.movedim(-1, 1)
    if first.ndim == 2:
        return first[:, :, None, None]
    if first.ndim == 4:
        return first
    side = math.isqrt(first.shape[2])
    extra = first.shape[2] - side**2
    if extra > _MOST_EXTRA:
        raise ValueError(f"{first.shape[2]} tokens fill no square")
    return first[:, :, extra:].unflatten(2, (side, side))


def neuron_index(module: nn.Module, output: Tensor, channel: int, row: int, column: int) -> tuple[int, ...]:
    """The index into one sample's `output` of a channel's value at `row` and `column` of `as_maps`."""
    if _is_channels_first(module):
        return channel, row, column
    if output.ndim == 2:
        return (channel,)
    if output.ndim == 4:
        return row, column, channel
    places = output.shape[1]
    side = math.isqrt(places)
    return places - side * side + row * side + column, channel
