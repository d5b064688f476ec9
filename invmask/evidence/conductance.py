"""How much each channel, and each of its neurons, carries of the way to an answer (captum's conductances)."""

import warnings
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from invmask.masks.attach import sharing_copy
from invmask.masks.outputs import as_maps, channels_first, neuron_index
from invmask.masks.state import MaskedLayer, MaskLayout

STEPS = 6
# For one image, where it takes no time: the sum over pixels is within a few per cent of what it should be.
NEURON_STEPS = 48


def layer_conductance(
    model: nn.Module, layer: MaskedLayer, images: Tensor, baselines: Tensor, target: int | Tensor, steps: int = STEPS
) -> Tensor:
    """Conductance (Dhamdhere et al. 2018) of one layer's channels toward `target`'s logit.

    It follows the straight way from the clean image to its triggered version: what flows through a channel on the
    way is that channel's part in the rise of the target's logit. Over a layer the parts add up to the rise where all
    that reaches the answer goes through the layer; what a shortcut takes past it is in none of them.

    Args:
        model: in eval mode; left as it is.
        images, baselines: float32 [N, C, H, W]: triggered images and the same ones clean.
        target: one label, or int64 [N], one for each image.
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


@dataclass(frozen=True)
class ChannelConductance:
    """What flows through one channel toward an answer, from a black image to each of N images.

    Attributes:
        maps: of each of the channel's neurons, in logits, float32 [N, h, w].
        class_token: of the neuron that has no place in the image, float32 [N]; None where the layer has none such.
        neurons: row and column of the one in `maps` that carries most, int64 [N, 2].
        inputs: of each pixel through that neuron, in logits, float32 [N, H, W], summed over colours. Over all pixels
            they add up to what the neuron has in `maps`.
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
        model: in eval mode; left as it is.
        channel: its place in the flat vectors over `layout`.
        images: float32 [N, C, H, W] in [0, 1].
        steps: points of the integral, by Gauss and Legendre.
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
    class_token = every[:, 0] if every.shape[1] > maps[0].numel() else None
    return ChannelConductance(maps.cpu(), class_token, neurons.cpu(), torch.cat(inputs).float().cpu())
