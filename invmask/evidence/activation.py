"""How much each channel's activation changes when the trigger, or a synthesized trigger, is put on images."""

import contextlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from invmask.machine import Precision, autocast
from invmask.masks.attach import sharing_copy
from invmask.masks.outputs import as_maps, channels_first
from invmask.masks.state import MaskLayout

BATCH_SIZE = 250
Watcher = Callable[[slice, nn.Module, Tensor], None]


@torch.no_grad()
def activation_change(
    model: nn.Module, layout: MaskLayout, images: Tensor, changed: Tensor, precision: Precision = "float32"
) -> Tensor:
    """Mean absolute difference of each channel's activation between two versions of the same images.

    Args:
        model: the original network in eval mode; left unchanged.
        images, changed: float32 [N, C, H, W] in [0, 1], pair by pair.

    Returns:
        float32 [channels] on the CPU, at least 0, in the units of the layer's output. It is the mean over images and
        positions (over tokens for a transformer's block), and over the uses of a layer that is used several times.
    """
    if images.shape != changed.shape:
        raise ValueError(f"{tuple(images.shape)} and {tuple(changed.shape)} are no versions of the same images")
    total = torch.zeros(layout.channels, dtype=torch.float64)
    seen = torch.zeros(layout.channels, dtype=torch.float64)
    pairs = zip(images.split(BATCH_SIZE), changed.split(BATCH_SIZE), strict=True)
    for before, after in pairs:

        def add(where: slice, module: nn.Module, output: Tensor) -> None:
            first, second = channels_first(module, output.float()).chunk(2)
            total[where] += (second - first).abs().mean(2).sum(0).double().cpu()
            seen[where] += len(first)

        _watched_pass(model, layout, torch.cat([before, after]), precision, add)
    return (total / seen.clamp(min=1)).float()


@torch.no_grad()
def feature_maps(
    model: nn.Module, layout: MaskLayout, channel: int, images: Tensor, precision: Precision = "float32"
) -> Tensor:
    """One channel's activations, float32 [N, H, W] on the CPU, in the units of the layer's output.

    Of a layer that is used several times in a pass, the last use counts.

    For a transformer's block, these are the activations of the tokens that have a position in the image.

    Args:
        channel: its index in the flat vectors over `layout`.
        images: float32 [N, C, H, W] in [0, 1].
    """
    layer = layout.layer_of(channel)
    found: list[Tensor] = []
    for batch in images.split(2 * BATCH_SIZE):
        uses: list[Tensor] = []

        def keep(_where: slice, module: nn.Module, output: Tensor, uses: list[Tensor] = uses) -> None:
            uses.append(as_maps(module, output)[:, channel - layer.offset].float().clone().cpu())

        _watched_pass(model, MaskLayout((layer,)), batch, precision, keep)
        found.append(uses[-1])
    return torch.cat(found)


def _watched_pass(model: nn.Module, layout: MaskLayout, images: Tensor, precision: Precision, see: Watcher) -> None:
    """Run one pass on a copy. `see` is called with each masked layer's index, module and output."""
    copy = sharing_copy(model)
    modules = dict(copy.named_modules())

    def watch(where: slice) -> Callable[..., None]:
        def hook(module: nn.Module, _inputs: Any, output: Tensor) -> None:
            see(where, module, output)

        return hook

    with contextlib.ExitStack() as hooks, autocast(precision, images.device.type):
        for layer in layout.layers:
            hooks.callback(modules[layer.name].register_forward_hook(watch(layer.slice)).remove)
        copy(images.contiguous(memory_format=torch.channels_last))
