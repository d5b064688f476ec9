"""Where masks are applied in a network, and the two vectors that are learned."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor, nn

from invmask.errors import UserError
from invmask.masks.algebra import effective_mask, inverse_mask
from invmask.masks.outputs import block_width, is_block, is_transformer, width


class View(StrEnum):
    """The views of one network. Gates give the first three; changed weights give the first and the last."""

    ORIGINAL = "original"
    PRUNED = "pruned"
    INVERSE = "inverse"
    REPAIRED = "repaired"


GATED = (View.ORIGINAL, View.PRUNED, View.INVERSE)
"""The views of a network with masks, in order."""


@dataclass(frozen=True)
class MaskedLayer:
    """One masked layer: the module's name in the network, its number of channels, and its slice of the flat vectors."""

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
        """The layer of a channel, which is given by its index in the flat vectors."""
        return next(layer for layer in self.layers if channel in range(self.channels)[layer.slice])

    @classmethod
    def of(cls, model: nn.Module, layers: Sequence[str] | None = None) -> "MaskLayout":
        """Every `Conv2d` in module order, shortcuts included; in a transformer only the encoder blocks.

        Args:
            layers: names of the modules to mask instead, in any order. If not given, those in the attribute
                `masked_layers` of the model count, where it has one.

        Raises:
            ValueError: the network has neither.
            UserError: it has no layer of a name, or one that cannot be masked.
        """
        named = getattr(model, "masked_layers", None) if layers is None else layers
        widths = _every_width(model) if named is None else _named_widths(model, named)
        found, offset = [], 0
        for name, channels in widths.items():
            found.append(MaskedLayer(name, channels, offset))
            offset += channels
        return cls(tuple(found))


def _every_width(model: nn.Module) -> dict[str, int]:
    """The widths of the layers that are masked where nobody named any."""
    if is_transformer(model):
        found = {name: block_width(module) for name, module in model.named_modules() if is_block(module)}
    else:
        found = {name: each.out_channels for name, each in model.named_modules() if isinstance(each, nn.Conv2d)}
    if not found:
        raise ValueError("the network has no Conv2d layer and no encoder block to mask")
    return found


def _named_widths(model: nn.Module, named: Sequence[str]) -> dict[str, int]:
    """The widths of the named modules, in module order."""
    if not named:
        raise UserError("Name at least one layer to mask.")
    modules = dict(model.named_modules())
    for name in named:
        if name not in modules:
            near = difflib.get_close_matches(name, [one for one in modules if one], 3, 0)
            raise UserError(f"The network has no layer '{name}'; layers are such as {', '.join(near)}.")
        if width(modules[name]) is None:
            raise UserError(
                f"The layer '{name}' is a {type(modules[name]).__name__}; name convolutions, linear layers, "
                "normalisations or known encoder blocks."
            )
    return {name: found for name, module in modules.items() if name in set(named) and (found := width(module))}


HARD = 20.0
"""The steepness from which a mask value of 0 or 1 gives a gate within 0.0001 of 0 or 1."""


@dataclass(frozen=True)
class Masks:
    """The learned vectors, `mask` (a) and `selection` (s): float32 [channels] in [0, 1]; `steepness` k."""

    mask: Tensor
    selection: Tensor
    steepness: float = 20.0

    @classmethod
    def initial(cls, layout: MaskLayout, steepness: float = 20.0, device: str | torch.device = "cpu") -> "Masks":
        """All ones: no channel is selected or pruned, and every view equals the original."""
        ones = torch.ones(layout.channels, device=device)
        return cls(ones, ones.clone(), steepness)

    def gate(self, view: View) -> Tensor:
        """The gates of the view, [channels] in [0, 1]. Differentiable with respect to both vectors."""
        if view is View.PRUNED:
            return effective_mask(self.mask, self.selection, self.steepness)
        if view is View.INVERSE:
            return inverse_mask(self.mask, self.selection, self.steepness)
        return torch.ones_like(self.mask)

    def inverted(self) -> "Masks":
        """The masks whose pruned view is the inverse view of these masks."""
        return Masks(1 - self.mask, self.selection, self.steepness)


@dataclass(frozen=True)
class Sparsity:
    """How many of `channels` are selected (s < 0.5), pruned (m < 0.5), and cut in the inverse view (m-bar < 0.5)."""

    channels: int
    selected: int
    pruned: int
    inverse_cut: int

    def as_counts(self) -> dict[str, int]:
        """The counts by name, as stored in records."""
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
