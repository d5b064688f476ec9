"""Whether a defence can work on a network at all. What it cannot work on is refused in one sentence, before a run."""

import torch
from torch import Tensor, nn

from invmask.errors import UserError, in_brief
from invmask.masks.state import MaskLayout

_SHOWN = 3
_TOLERANCE = 1e-3
"""Share of the largest logit by which answers may differ between batches, where the order of sums differs."""


@torch.no_grad()
def check_network(network: nn.Module, sample: Tensor) -> None:
    """Check a network with its weights.

    Args:
        network: in eval mode, maps images to logits; left unchanged.
        sample: some images [N, C, H, W] as the network takes them, at least 2 and not all equal.

    Raises:
        UserError: weights that are no numbers, no layer that can be masked, BatchNorm without running statistics, or
            answers that are not one row of at least 2 logits for each image, no numbers, random, or dependent on the
            rest of the batch.
    """
    _check_weights(network)
    _check_layers(network)
    _check_norms(network)
    try:
        logits = network(sample)
    except Exception as error:  # the forward is anybody's code
        size = "x".join(map(str, sample.shape[1:]))
        raise UserError(f"The network fails on images of {size}, so check their size: {in_brief(error)}") from error
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != len(sample):
        raise UserError("The network does not return one row of logits for each image; say which part of it they are.")
    if logits.shape[1] < 2:
        raise UserError("The network has a single output; a defence needs one logit for each of at least two classes.")
    if not bool(torch.isfinite(logits).all()):
        raise UserError("The network's answers are not numbers (NaN or infinite); check weights and normalisation.")
    if not _alike(network(sample), logits):
        raise UserError("The network answers the same images differently each time; make its forward deterministic.")
    if not _alike(torch.cat([network(image[None]) for image in sample]), logits):
        raise UserError(
            "The network's answers depend on the other images of the batch; make each answer depend on its image alone."
        )


def _alike(one: Tensor, other: Tensor) -> bool:
    return float((one - other).abs().max()) <= _TOLERANCE * max(1.0, float(other.abs().max()))


def _check_weights(network: nn.Module) -> None:
    broken = [
        name
        for name, tensor in network.state_dict().items()
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all())
    ]
    if broken:
        more = f" and {len(broken) - _SHOWN} more" if len(broken) > _SHOWN else ""
        names = ", ".join(broken[:_SHOWN])
        raise UserError(f"Some weights are not numbers (NaN or infinite), so the file is damaged: {names}{more}.")


def _check_layers(network: nn.Module) -> None:
    try:
        layers = {layer.name for layer in MaskLayout.of(network).layers}
    except ValueError:
        raise UserError(
            "The network has no convolution and no known encoder block; name the layers to mask, such as linear layers."
        ) from None
    if getattr(network, "masked_layers", None) is not None:
        return
    modules = dict(network.named_modules())
    norms = sum(isinstance(module, nn.LayerNorm) for module in modules.values())
    # A transformer whose blocks are not known: masks would lie on the patches' convolution alone.
    if all(isinstance(modules[name], nn.Conv2d) for name in layers) and norms > 2 * len(layers):
        raise UserError(
            f"The network looks like a transformer whose blocks are not known; name the layers to mask, because its "
            f"convolutions are only {len(layers)} of its layers."
        )


def _check_norms(network: nn.Module) -> None:
    for name, module in network.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is None:
            raise UserError(
                f"The layer '{name}' is a BatchNorm without running statistics, so answers depend on the batch; "
                "store the network with track_running_stats=True."
            )
