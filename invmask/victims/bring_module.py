"""Bring in a network that is in memory, for use from Python. It is not stored, so no page shows it."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from torch import nn

from invmask.data.images import LabelledImages
from invmask.errors import UserError
from invmask.measure.network_checks import check_network
from invmask.models import Classifier
from invmask.models.answers import Answering, adapt
from invmask.victims.bring import MODULE, Brought, Choices, Images, check_fit, describe, examine, new_id
from invmask.victims.normalisation import given
from invmask.victims.victim import Victim


def bring_module(
    network: nn.Module,
    images: LabelledImages,
    classes: Sequence[str],
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    layers: Sequence[str] = (),
) -> Victim:
    """A network in memory as a victim of unknown attack. Its images are stored in the home, its weights are not.

    Args:
        network: maps normalised images to logits; put in eval mode, its weights are kept.
        images: labels are places in `classes`, which are in the order of the outputs; -1 for all without classes.
        classes: names of the outputs; empty if the images' classes are not known.
        mean, std: the normalisation; None for the best of the usual ones.
        layers: names of the layers to mask; empty for the usual ones.

    Raises:
        UserError: the network cannot be defended, or does not know the images.
    """
    network = network.eval()
    channels = images.pixels.shape[-1]
    if len(images) < 2:
        raise UserError("Give at least two images of each class.")
    sample = (images.take(np.arange(min(4, len(images)))).tensor() - 0.5) / 0.5
    answering, notes = adapt(network, sample)
    plain = Classifier(answering, (0.0,) * channels, (1.0,) * channels)
    outer = "network.network." if isinstance(answering, Answering) else "network."
    masked = tuple(outer + name for name in layers)
    if masked:
        plain.masked_layers = masked  # type: ignore[assignment]
    check_network(plain, sample)
    if (mean is None) != (std is None):
        raise UserError("Mean and std belong together: give both, or neither.")
    normalisation = None if mean is None or std is None else given(mean, std, channels)
    labelled = bool(classes)
    found = examine(
        answering,
        Images(images, tuple(classes), "images"),
        Choices(normalisation, tuple(classes) if labelled else None),
    )
    check_fit(found)
    digest = hashlib.sha256(images.pixels.tobytes())
    for name, tensor in network.state_dict().items():
        digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    inside = "network." if isinstance(answering, Answering) else ""
    names = {inside + name: name for name in network.state_dict()}
    about = Brought(digest=digest.hexdigest(), names=names, notes=notes)
    card = describe(found, new_id(type(network).__name__, digest.hexdigest()), MODULE, "images", about)
    model = found.model
    if masked:
        model.masked_layers = masked  # type: ignore[assignment]
    return Victim(replace(card, masked_layers=masked), model.eval().requires_grad_(False))
