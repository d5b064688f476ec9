"""Passes that begin in the middle: if gates differ from known gates in late layers only, only these layers run.

The outputs of the network's blocks for fixed images under known gates are stored once. A pass under other gates begins
at the block with the first layer whose gates differ. If the outputs need too much memory, the largest are not stored,
and their blocks run every time.
"""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from invmask.machine import Precision, autocast
from invmask.masks.attach import attached, sharing_copy
from invmask.masks.state import MaskLayout
from invmask.memory import MIB, held_bytes

PASS_SIZE = 500
"""Images per pass; more would cost memory without a gain in speed."""
BLOCK_BYTES = 256 * MIB
"""Bound of the stored block outputs: all of a ResNet-18 of full width, in float32, for 200 images of 32x32."""


@dataclass(frozen=True)
class _Block:
    """A part of the network: its name, its output, and the masked layers that run after it."""

    name: str
    output: Tensor
    later: frozenset[str]


class Resumable:
    """A network with the stored outputs of its blocks for fixed images under known gates. Not thread-safe.

    Args:
        model: in eval mode; left unchanged (hooks go on a copy that shares its weights).
        images: float32 [N, C, H, W] in [0, 1], at most a few hundred; at most `BLOCK_BYTES` of outputs are stored.
        gates: [channels] in [0, 1], the known gates; ones if not given.
    """

    def __init__(
        self, model: nn.Module, layout: MaskLayout, images: Tensor, gates: Tensor | None, precision: Precision
    ) -> None:
        self.layout = layout
        self.precision: Precision = precision
        self._model = sharing_copy(model)
        self._images = images.contiguous(memory_format=torch.channels_last)
        self._gates = torch.ones(layout.channels, device=images.device) if gates is None else gates
        self._blocks, self._known = self._record()

    @property
    def known(self) -> Tensor:
        """The logits under the known gates, float32 [N, K]."""
        return self._known

    @torch.no_grad()
    def logits(self, gates: Tensor) -> Tensor:
        """Logits of the images under each of G gates.

        Args:
            gates: [G, channels] in [0, 1].

        Returns:
            float32 [G, N, K]. Equal to those of a full pass up to rounding, because the order of summation may depend
            on the batch size.
        """
        if not bool((gates != self._gates).any()):
            return self._known.expand(len(gates), -1, -1)
        each = max(1, PASS_SIZE // len(self._images))
        return torch.cat([self._pass(some) for some in gates.split(each)])

    def first_block(self, channel: int) -> int:
        """How many blocks a pass skips if this channel's gate differs. Measure channels with equal numbers together."""
        layer = self.layout.layer_of(channel)
        return sum(layer.name in block.later for block in self._blocks)

    def _pass(self, gates: Tensor) -> Tensor:
        changed = (gates != self._gates).any(0)
        touched = {layer.name for layer in self.layout.layers if bool(changed[layer.slice].any())}
        skipped = [block for block in self._blocks if touched <= block.later]
        inside = tuple(f"{block.name}." for block in skipped)
        names = {block.name for block in skipped}
        rest = tuple(
            layer
            for layer in self.layout.layers
            if layer.name not in names
            and not layer.name.startswith(inside)
            # Skip gates of 1: the multiplication costs as much as half a convolution.
            and bool((gates[:, layer.slice] != 1).any())
        )
        each = gates if len(gates) == 1 else gates.repeat_interleave(len(self._images), 0)
        images = self._images.repeat(len(gates), 1, 1, 1)
        with (
            autocast(self.precision, images.device.type),
            _answering(self._model, skipped, len(gates)),
            attached(self._model, MaskLayout(rest), each),
        ):
            return self._model(images).float().reshape(len(gates), len(self._images), -1)

    @torch.no_grad()
    def _record(self) -> tuple[list[_Block], Tensor]:
        outputs: dict[str, Tensor] = {}
        calls: Counter[str] = Counter()
        begun: list[str] = []
        known_at: dict[str, int] = {}
        modules = dict(self._model.named_modules())
        layers = [layer.name for layer in self.layout.layers]
        with (
            autocast(self.precision, self._images.device.type),
            attached(self._model, self.layout, self._gates),
            contextlib.ExitStack() as hooks,
        ):
            for name in layers:
                hooks.callback(modules[name].register_forward_pre_hook(_note(begun, name)).remove)
            for name in _blocks(self._model, layers):
                hooks.callback(modules[name].register_forward_hook(_keep(outputs, known_at, begun, name)).remove)
                hooks.callback(modules[name].register_forward_pre_hook(_count(calls, name)).remove)
            logits = self._model(self._images).float()
        blocks = [
            _Block(name, output, frozenset(layers) - frozenset(begun[: known_at[name]]))
            for name, output in outputs.items()
            # A block that is used twice has two outputs, and a batch is repeated by its first dimension.
            if calls[name] == 1 and output.shape[:1] == self._images.shape[:1]
        ]
        return blocks, logits


def _note(begun: list[str], name: str) -> Callable[..., None]:
    def hook(_module: nn.Module, _inputs: Any) -> None:
        begun.append(name)

    return hook


def _count(calls: Counter[str], name: str) -> Callable[..., None]:
    def hook(_module: nn.Module, _inputs: Any) -> None:
        calls[name] += 1

    return hook


def _keep(outputs: dict[str, Tensor], known_at: dict[str, int], begun: list[str], name: str) -> Callable[..., None]:
    def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
        if not isinstance(output, Tensor):
            return
        # A copy, because what comes next may change the output in place.
        outputs[name] = output.clone()
        known_at[name] = len(begun)
        # Drop the largest outputs. They are the early ones, which are not more expensive to recompute.
        while outputs and held_bytes([*outputs.values()]) > BLOCK_BYTES:
            outputs.pop(max(outputs, key=lambda name: outputs[name].nbytes))

    return hook


def _blocks(model: nn.Module, layers: Sequence[str]) -> list[str]:
    """The parts that run in sequence: the children of the trunk and of every `Sequential` in it."""
    found: list[str] = []

    def walk(module: nn.Module, prefix: str) -> None:
        for name, child in module.named_children():
            path = f"{prefix}{name}"
            inside = [layer for layer in layers if layer == path or layer.startswith(f"{path}.")]
            if not inside:
                continue
            if len(inside) == len(layers) or isinstance(child, nn.Sequential):
                walk(child, f"{path}.")
            else:
                found.append(path)

    walk(model, "")
    return found


@contextlib.contextmanager
def _answering(model: nn.Module, blocks: Sequence[_Block], times: int) -> Iterator[None]:
    """Within the block, these parts return their stored outputs, for `times` copies of the images."""
    modules = dict(model.named_modules())
    try:
        for block in blocks:
            # An instance attribute takes precedence over the class's method.
            modules[block.name].__dict__["forward"] = _constant(block.output, times)
        yield
    finally:
        for block in blocks:
            modules[block.name].__dict__.pop("forward", None)


def _constant(output: Tensor, times: int) -> Callable[..., Tensor]:
    return lambda *_, **__: output.repeat(times, *[1] * (output.ndim - 1))
