"""Multiply the masked layers' outputs by gates while a network runs. The network itself is not changed."""

import contextlib
import copy
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from invmask.masks.outputs import shape_gate
from invmask.masks.state import MaskLayout

Model = TypeVar("Model", bound=nn.Module)


@contextlib.contextmanager
def attached(model: nn.Module, layout: MaskLayout, gates: Tensor) -> Iterator[nn.Module]:
    """Within the block, each masked layer's output is multiplied by its gate, channel by channel.

    When the block ends, even by an exception, all hooks are removed. No weight changes.

    Args:
        model: the network that `layout` was made from. No other thread may run it at the same time; take a
            `sharing_copy` of a shared network.
        gates: [channels], or [N, channels] with its own gates for every image of the batch, so that several views can
            share one pass.
    """
    modules = dict(model.named_modules())
    handles = []
    try:
        for layer in layout.layers:
            gate = gates[..., layer.slice]
            flat = gate.reshape(-1, layer.channels)
            handles.append(modules[layer.name].register_forward_hook(_multiply_by(flat)))
        yield model
    finally:
        for handle in handles:
            handle.remove()


def _multiply_by(gate: Tensor) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor]:
    def hook(module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        # In the output's own dtype: under autocast a float32 gate would make all later activations float32.
        return output * shape_gate(module, gate, output).to(output.dtype)

    return hook


def gated_logits(model: nn.Module, layout: MaskLayout, batches: Sequence[tuple[Tensor, Tensor]]) -> list[Tensor]:
    """Run several (images, gates) pairs in one pass.

    Args:
        model, layout: as in `attached`.
        batches: pairs of images [N_i, C, H, W] in [0, 1] and the gates [channels] to apply to them.

    Returns:
        The logits of each pair, [N_i, K], in float32 (float64 from a float64 network).
    """
    images = torch.cat([batch for batch, _ in batches])
    gates = torch.cat([gate.expand(len(batch), -1) for batch, gate in batches])
    images = images.contiguous(memory_format=torch.channels_last)
    with attached(model, layout, gates):
        logits = model(images)
    # Losses need at least float32, whatever the precision of the networks.
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return list(logits.split([len(batch) for batch, _ in batches]))


def sharing_copy(model: Model) -> Model:
    """A copy with new modules but the same parameters and buffers. Hooks on it do not affect the original."""
    memo = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    return copy.deepcopy(model, memo)
