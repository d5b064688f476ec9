"""Where in an image a view sees a class: Grad-CAM, and integrated gradients by captum, under any gates."""

import warnings

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from invmask.masks.attach import attached, sharing_copy
from invmask.masks.outputs import as_maps, is_transformer
from invmask.masks.state import MaskLayout

STEPS = 12


def grad_cam(model: nn.Module, layout: MaskLayout, gates: Tensor, images: Tensor, target: int) -> Tensor:
    """Grad-CAM (Selvaraju et al. 2017) of the last masked layer, as large as the images.

    Of a transformer, of the last block but one: the answer is read from the last one's class token alone, and none of
    its other tokens has a gradient.

    Args:
        model: in eval mode; left as it is.
        gates: [channels], the view.
        images: float32 [N, C, H, W] in [0, 1].

    Returns:
        float32 [N, H, W], at least 0: places that speak for `target`.
    """
    copy = sharing_copy(model)
    name = layout.layers[-2 if is_transformer(model) and len(layout.layers) > 1 else -1].name
    layer, kept = dict(copy.named_modules())[name], []
    with torch.enable_grad(), attached(copy, layout, gates):
        handle = layer.register_forward_hook(lambda _module, _inputs, output: kept.append(output))
        try:
            logits = copy(images.detach().requires_grad_())
        finally:
            handle.remove()
        (slopes,) = torch.autograd.grad(logits[:, target].sum(), kept)
    maps, slopes = as_maps(layer, kept[0].detach()), as_maps(layer, slopes)
    found = F.relu((maps * slopes.mean((2, 3), keepdim=True)).sum(1, keepdim=True))
    large = F.interpolate(found, images.shape[-2:], mode="bilinear", align_corners=False)
    return large[:, 0].float().cpu()


def integrated_gradients(
    model: nn.Module, layout: MaskLayout, gates: Tensor, images: Tensor, target: int, steps: int = STEPS
) -> Tensor:
    """Integrated gradients (Sundararajan et al. 2017) of `target`'s logit, from a black image.

    Returns:
        float32 [N, H, W], summed over colours; positive where a pixel speaks for `target`.
    """
    from captum.attr import IntegratedGradients

    copy = sharing_copy(model)
    with torch.enable_grad(), attached(copy, layout, gates), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of captum: inputs need gradients while it is at work
        found = IntegratedGradients(copy).attribute(images, target=target, n_steps=steps)
    assert isinstance(found, Tensor)
    return found.detach().sum(1).float().cpu()
