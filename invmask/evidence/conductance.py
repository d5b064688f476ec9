"""How much each channel, and each of its neurons, contributes to an answer (captum's conductance)."""

import warnings
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from invmask.masks.attach import sharing_copy
from invmask.masks.outputs import as_maps, channels_first, neuron_index
from invmask.masks.state import MaskedLayer, MaskLayout

STEPS = 6
# For a single image, which is fast: the sum over pixels is within a few per cent of the exact value.
NEURON_STEPS = 48


def layer_conductance(
    model: nn.Module, layer: MaskedLayer, images: Tensor, baselines: Tensor, target: int | Tensor, steps: int = STEPS
) -> Tensor:
    """Conductance (Dhamdhere et al. 2018) of one layer's channels toward `target`'s logit.

    It integrates along the straight line from the clean image to its triggered version. The conductance of a channel is
    its part in the rise of the target's logit. Over a layer the parts add up to the whole rise if the layer carries all
    of the signal; what a shortcut carries past the layer is not included.

    Args:
        model: in eval mode; left unchanged.
        images, baselines: float32 [N, C, H, W] in [0, 1]: triggered images, and the same images clean.
        target: one label, or int64 [N], one for each image.
        steps: number of integration points (Gauss-Legendre).

    Returns:
        float32 [layer.channels] on the CPU, in logits; summed over positions or tokens, mean over images; may be
        negative.
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


@dataclass(frozen=True)
class ChannelConductance:
    """The conductance of one channel toward a class, from a black image to each of N images.

    Attributes:
        maps: conductance of each of the channel's neurons, in logits, float32 [N, h, w].
        class_token: conductance of the class token, and of all others that have no place in the image, float32 [N];
            None for a layer without one.
        neurons: row and column of the neuron in `maps` with the largest conductance, int64 [N, 2].
        inputs: conductance of each pixel through that neuron, in logits, float32 [N, H, W], summed over colours. The
            sum over all pixels is the neuron's value in `maps`.
    """

    maps: Tensor
    class_token: Tensor | None
    neurons: Tensor
    inputs: Tensor


def channel_conductance(
    model: nn.Module, layout: MaskLayout, channel: int, images: Tensor, target: int, steps: int = NEURON_STEPS
) -> ChannelConductance:
    """Layer and neuron conductance (Dhamdhere et al. 2018) of one channel toward `target`'s logit.

    Args:
        model: in eval mode; left unchanged.
        channel: its index in the flat vectors over `layout`.
        images: float32 [N, C, H, W] in [0, 1].
        steps: number of integration points (Gauss-Legendre).
    """
    from captum.attr import LayerConductance, NeuronConductance

    layer = layout.layer_of(channel)
    copy, number = sharing_copy(model), channel - layer.offset
    module = dict(copy.named_modules())[layer.name]
    how = {"target": target, "n_steps": steps, "method": "gausslegendre"}
    with torch.enable_grad(), warnings.catch_warnings():
        # Of hooks on a module whose input needs no gradient; captum removes them itself.
        warnings.simplefilter("ignore")
        found = LayerConductance(copy, module).attribute(images, **how)
        assert isinstance(found, Tensor)
        maps = as_maps(module, found.detach())[:, number].float()
        every = channels_first(module, found.detach())[:, number].float().cpu()
        places = maps.flatten(1).argmax(1)
        neurons = torch.stack([places // maps.shape[2], places % maps.shape[2]], 1)
        method = NeuronConductance(copy, module)
        inputs = [
            method.attribute(image[None], neuron_index(module, found, number, *neuron), **how).detach().sum(1)
            for image, neuron in zip(images, neurons.tolist(), strict=True)
        ]
    extra = every.shape[1] - maps[0].numel()
    class_token = every[:, :extra].sum(1) if extra else None
    return ChannelConductance(maps.cpu(), class_token, neurons.cpu(), torch.cat(inputs).float().cpu())
