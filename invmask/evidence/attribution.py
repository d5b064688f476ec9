"""Where in an image a view sees a class: Grad-CAM and integrated gradients (captum), under any gates."""

import warnings

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from invmask.masks.attach import attached, sharing_copy
from invmask.masks.state import MaskLayout

STEPS = 12


def grad_cam(model: nn.Module, layout: MaskLayout, gates: Tensor, images: Tensor, target: int) -> Tensor:
    """Grad-CAM (Selvaraju et al. 2017) of the last masked layer, as large as the images.

    Args:
        model: in eval mode; left as it is.
        gates: [channels], the view.
        images: float32 [N, C, H, W] in [0, 1].

    Returns:
        float32 [N, H, W], at least 0: places that speak for `target`.
    """
    from captum.attr import LayerGradCam

    copy = sharing_copy(model)
    layer = dict(copy.named_modules())[layout.layers[-1].name]
    with torch.enable_grad(), attached(copy, layout, gates), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of captum: inputs need gradients while it is at work
        found = LayerGradCam(copy, layer).attribute(images, target=target, relu_attributions=True)
    assert isinstance(found, Tensor)
    large = F.interpolate(found.detach(), images.shape[-2:], mode="bilinear", align_corners=False)
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
