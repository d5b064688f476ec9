"""Which parts of an image support a class in a view: Grad-CAM and integrated gradients (captum), under any gates."""

import warnings

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from invmask.masks.attach import attached, sharing_copy
from invmask.masks.outputs import as_maps, is_transformer
from invmask.masks.state import MaskLayout

STEPS = 12


def grad_cam(model: nn.Module, layout: MaskLayout, gates: Tensor, images: Tensor, target: int) -> Tensor:
    """Grad-CAM (Selvaraju et al. 2017) of the last masked layer, enlarged to the size of the images.

    For a transformer it is the last block but one: the last block's output is read at the class token only, so its
    other tokens have no gradient.

    Args:
        model: in eval mode; left unchanged.
        gates: [channels] in [0, 1], the view's gates.
        images: float32 [N, C, H, W] in [0, 1].

    Returns:
        float32 [N, H, W], at least 0; high where a place supports `target`.
    """
    copy = sharing_copy(model)
    name = layout.layers[-2 if is_transformer(model) and len(layout.layers) > 1 else -1].name
    layer, kept = dict(copy.named_modules())[name], list[Tensor]()

    def keep(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        kept.append(output)
        # A copy goes on, because what comes next may change it in place.
        return output.clone()

    with torch.enable_grad(), attached(copy, layout, gates):
        handle = layer.register_forward_hook(keep)
        try:
            logits = copy(images.detach().requires_grad_())
        finally:
            handle.remove()
        # Of a layer that is used twice, the last use counts.
        (slopes,) = torch.autograd.grad(logits[:, target].sum(), kept[-1])
    maps, slopes = as_maps(layer, kept[-1].detach()), as_maps(layer, slopes)
    found = F.relu((maps * slopes.mean((2, 3), keepdim=True)).sum(1, keepdim=True))
    large = F.interpolate(found, images.shape[-2:], mode="bilinear", align_corners=False)
    return large[:, 0].float().cpu()


def integrated_gradients(
    model: nn.Module, layout: MaskLayout, gates: Tensor, images: Tensor, target: int, steps: int = STEPS
) -> Tensor:
    """Integrated gradients (Sundararajan et al. 2017) of `target`'s logit, from a black image.

    Arguments as in `grad_cam`; `steps` is the number of integration points.

    Returns:
        float32 [N, H, W], in logits, summed over colours; positive where a pixel supports `target`.
    """
    from captum.attr import IntegratedGradients

    copy = sharing_copy(model)
    with torch.enable_grad(), attached(copy, layout, gates), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # captum warns that it sets requires_grad on inputs
        found = IntegratedGradients(copy).attribute(images, target=target, n_steps=steps)
    assert isinstance(found, Tensor)
    return found.detach().sum(1).float().cpu()
