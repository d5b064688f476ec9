"""How much each channel carries of the way from a clean image to the target's answer (captum's layer conductance)."""

import warnings

import torch
from torch import Tensor, nn

from invmask.masks.attach import sharing_copy
from invmask.masks.outputs import channels_first
from invmask.masks.state import MaskedLayer

STEPS = 6


def layer_conductance(
    model: nn.Module, layer: MaskedLayer, images: Tensor, baselines: Tensor, target: int, steps: int = STEPS
) -> Tensor:
    """Conductance (Dhamdhere et al. 2018) of one layer's channels toward `target`'s logit.

    It follows the straight way from the clean image to its triggered version: what flows through a channel on the
    way is that channel's part in the rise of the target's logit, and over a layer the parts add up to the rise.

    Args:
        model: in eval mode; left as it is.
        images, baselines: float32 [N, C, H, W]: triggered images and the same ones clean.
        steps: points of the integral, by Gauss and Legendre.

    Returns:
        float32 [layer.channels] on the CPU, summed over places or tokens, mean over images; in logits, may be negative.
    """
    from captum.attr import LayerConductance

    copy = sharing_copy(model)
    module = dict(copy.named_modules())[layer.name]
    method = LayerConductance(copy, module)
    with torch.enable_grad(), warnings.catch_warnings():
        # Of hooks on a module whose input needs no gradient; captum removes them itself.
        warnings.simplefilter("ignore")
        found = method.attribute(images, baselines, target=target, n_steps=steps, internal_batch_size=len(images))
    assert isinstance(found, Tensor)
    return channels_first(module, found.detach()).sum(2).mean(0).float().cpu()
