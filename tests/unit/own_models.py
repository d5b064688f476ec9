"""A model of one's own for tests: a backdoored network that comes with invmask, of which nobody tells the trigger."""

from pathlib import Path

import numpy as np
from torch import nn

from invmask import settings
from invmask.data.embedded import load_embedded
from invmask.data.images import LabelledImages
from invmask.victims.bring import Brought, Choices, Images, check_fit, examine, store
from invmask.victims.victim import Victim, load_victim

NAME = "fashionmnist-cnn4-badnets"


def known_victim() -> Victim:
    """The victim with its trigger known."""
    return load_victim(NAME, [settings.ASSETS / "victims"])


def some_images(per_class: int = 8) -> LabelledImages:
    """Test images of its data set."""
    images = load_embedded("fashionmnist", "test").images
    return images.take(np.concatenate([np.flatnonzero(images.labels == label)[:per_class] for label in range(10)]))


def own_images(per_class: int = 8, labelled: bool = True) -> Images:
    """The same as images of one's own."""
    images, classes = some_images(per_class), known_victim().card.dataset_info.classes
    if labelled:
        return Images(images, classes, "pictures")
    return Images(LabelledImages(images.pixels, np.full(len(images), -1)), (), "pictures")


def bring_in(
    model_id: str = "net-0123abcd", labelled: bool = True, per_class: int = 8, home: Path | None = None
) -> Victim:
    """Bring it in as a model of one's own."""
    return bring(own_images(per_class, labelled), model_id, home=home)


def bring(images: Images, model_id: str, choices: Choices | None = None, home: Path | None = None) -> Victim:
    """Bring it in with these images; checked, unless `choices` say otherwise."""
    victim, choices = known_victim(), choices or Choices()
    network: nn.Module = victim.model.network  # type: ignore[assignment]
    found = examine(network, images, choices)
    if not choices.anyway:
        check_fit(found)
    return store(found, model_id, victim.card.architecture, images.title, Brought(file="net.pth"), home)
