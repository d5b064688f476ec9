"""Where masks go in a network, and the two vectors that are learned."""

from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor, nn

from invmask.masks.algebra import effective_mask, inverse_mask
from invmask.masks.outputs import block_width, is_block, is_transformer


class View(StrEnum):
    """The views of one network: of one with gates the first three, of one with other weights the first and the last."""

    ORIGINAL = "original"
    PRUNED = "pruned"
    INVERSE = "inverse"
    REPAIRED = "repaired"


GATED = (View.ORIGINAL, View.PRUNED, View.INVERSE)
"""The views of a network with masks, in order."""


@dataclass(frozen=True)
class MaskedLayer:
    """One masked layer: the module's name in the network, its channels, and where they lie in the flat vectors."""

    name: str
    channels: int
    offset: int

    @property
    def slice(self) -> slice:
        return slice(self.offset, self.offset + self.channels)


@dataclass(frozen=True)
class MaskLayout:
    """All masked layers of a network in module order. Vectors over it are flat: [channels]."""

    layers: tuple[MaskedLayer, ...]

    @property
    def channels(self) -> int:
        return sum(layer.channels for layer in self.layers)

    def layer_of(self, channel: int) -> MaskedLayer:
        """The layer that a channel belongs to, by its place in the flat vectors."""
        return next(layer for layer in self.layers if channel in range(self.channels)[layer.slice])

    @classmethod
    def of(cls, model: nn.Module) -> "MaskLayout":
        """Every `Conv2d` in module order, shortcuts included; in a transformer every encoder block, and nothing else.

        Raises:
            ValueError: the network has neither.
        """
        of_blocks = is_transformer(model)
        layers, offset = [], 0
        for name, module in model.named_modules():
            if of_blocks:
                channels = block_width(module) if is_block(module) else 0
            else:
                channels = module.out_channels if isinstance(module, nn.Conv2d) else 0
            if channels:
                layers.append(MaskedLayer(name, channels, offset))
                offset += channels
        if not layers:
            raise ValueError("the network has no Conv2d layer and no encoder block to mask")
        return cls(tuple(layers))


HARD = 20.0
"""Steepness from which a mask value of 0 or 1 cuts a channel or leaves it, to within 0.0001."""


@dataclass(frozen=True)
class Masks:
    """The learned vectors, `mask` (a) and `selection` (s): float32 [channels] in [0, 1]; `steepness` k."""

    mask: Tensor
    selection: Tensor
    steepness: float = 20.0

    @classmethod
    def initial(cls, layout: MaskLayout, steepness: float = 20.0, device: str | torch.device = "cpu") -> "Masks":
        """All ones: nothing selected, nothing pruned; every view answers as the original."""
        ones = torch.ones(layout.channels, device=device)
        return cls(ones, ones.clone(), steepness)

    def gate(self, view: View) -> Tensor:
        """What the view multiplies each channel by, [channels] in [0, 1]. Differentiable in both vectors."""
        if view is View.PRUNED:
            return effective_mask(self.mask, self.selection, self.steepness)
        if view is View.INVERSE:
            return inverse_mask(self.mask, self.selection, self.steepness)
        return torch.ones_like(self.mask)

    def inverted(self) -> "Masks":
        """The masks whose pruned view is this one's inverse view."""
        return Masks(1 - self.mask, self.selection, self.steepness)


@dataclass(frozen=True)
class Sparsity:
    """Of `channels`, how many are selected (s < 0.5), pruned (m < 0.5), and cut by the inverse (m-bar < 0.5)."""

    channels: int
    selected: int
    pruned: int
    inverse_cut: int

    def as_counts(self) -> dict[str, int]:
        """By name, as records hold them."""
        return {
            "channels": self.channels,
            "selected": self.selected,
            "pruned": self.pruned,
            "inverse_cut": self.inverse_cut,
        }

    @classmethod
    def of(cls, masks: Masks, where: slice = slice(None)) -> "Sparsity":
        """Counts over the whole layout, or over one layer's slice."""
        selection = masks.selection[where]
        return cls(
            channels=len(selection),
            selected=int((selection < 0.5).sum()),
            pruned=int((masks.gate(View.PRUNED)[where] < 0.5).sum()),
            inverse_cut=int((masks.gate(View.INVERSE)[where] < 0.5).sum()),
        )
