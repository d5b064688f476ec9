"""The specification of a small victim, as the Attack lab trains it: everything that is needed to make it again.

Small means: few training images, a network of four convolutions, and less than a minute on one core.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import numpy as np
import torch

from invmask import settings
from invmask.attacks.base import Attack, TrainedAttack
from invmask.attacks.registry import ATTACKS
from invmask.attacks.training.poison_set import PoisonedSet, poison
from invmask.attacks.training.train_victim import TrainingConfig
from invmask.data.embedded import load_embedded
from invmask.data.images import LabelledImages
from invmask.data.registry import dataset_info, is_fetched, load_dataset
from invmask.errors import UserError
from invmask.memory import MIB, bounded
from invmask.victims.make import Plan, Sets
from invmask.victims.recipe import Stage

SMALL = "small_victim"
"""Key of the specification in the `training` of the victim's card."""
DATASETS = ("fashionmnist", "cifar10")
EMBEDDED_IMAGES = 1000
"""Training images of each data set that come with invmask; a specification of so many needs nothing else."""
IMAGE_NUMBERS = (EMBEDDED_IMAGES, 2000, 5000, 10_000)
WIDTHS = (8, 16, 32)
"""Channels of the first convolution; the others have 2, 4 and 4 times as many."""
MOST_EPOCHS = 60
MOST_SEED = 999_999
MOST_RATIO = 0.5
LEAST_POISONED = 1
THREADS = 1
"""One thread for each training: with one number of threads, the same specification gives the same weights."""
SUBSET_BYTES = 96 * MIB
LAB_ATTACKS = tuple(name for name, kind in ATTACKS.items() if not issubclass(kind, TrainedAttack))
"""The attacks without networks of their own, whose training would take longer than the victim's."""


@dataclass(frozen=True)
class SmallVictim:
    """How a small victim is made.

    Attributes:
        attack, settings: the trigger (see `attacks.registry.make_attack`).
        poisoning_ratio: poisoned share of the training images, in (0, 0.5].
        target_label: the label that poisoned images get.
        images: number of training images, one of `IMAGE_NUMBERS`. The first number comes with invmask; more are drawn
            from the full training set by the seed.
        width: one of `WIDTHS`.
        epochs: passes over the training images, from 1 to 60.
        seed: decides the weights, the poisoned images and the order of the images.
    """

    dataset: str = DATASETS[0]
    attack: str = "drawn"
    settings: Mapping[str, Any] = field(default_factory=dict)
    poisoning_ratio: float = 0.1
    target_label: int = 0
    images: int = EMBEDDED_IMAGES
    width: int = 16
    epochs: int = 24
    seed: int = 0

    @property
    def architecture(self) -> str:
        """The network's name."""
        return f"cnn4w{self.width}"

    @property
    def name(self) -> str:
        """The victim's name, which follows from the specification: equal specifications make one victim."""
        digest = hashlib.sha256(json.dumps(self.as_json(), sort_keys=True).encode()).hexdigest()
        return f"lab-{self.dataset}-{self.attack}-{digest[:10]}"

    @property
    def plan(self) -> Plan:
        """The same as a plan."""
        return Plan(
            self.dataset,
            self.architecture,
            self.attack,
            self.poisoning_ratio,
            self.target_label,
            settings=dict(self.settings),
            called=self.name,
        )

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The training: one cycle, with small batches, since there are few images.

        Images are not mirrored and hardly shifted: so the trigger stays where it is, and takes with few of them.
        """
        config = TrainingConfig(
            epochs=self.epochs,
            batch_size=64,
            learning_rate=0.1,
            crop_padding=1,
            flip=False,
            seed=self.seed,
        )
        return (Stage(config),)

    def as_json(self) -> dict[str, Any]:
        """All fields, and every setting of the attack, as JSON values."""
        attack = self.plan_attack()
        kinds = {each.name: type(each.default) for each in fields(attack)}  # type: ignore[arg-type]
        # A whole number may stand for a float; the name must not depend on it.
        own = {name: float(value) if kinds[name] is float else value for name, value in attack.settings().items()}
        return {**asdict(replace(self, settings={}, poisoning_ratio=float(self.poisoning_ratio))), "settings": own}

    @classmethod
    def from_json(cls, values: Any) -> "SmallVictim":
        """Read and check a specification.

        Raises:
            UserError: it is none, or a value is out of range.
        """
        names = {each.name for each in fields(cls)}
        if not isinstance(values, dict) or not set(values) <= names or not isinstance(values.get("settings", {}), dict):
            raise UserError("This is not the specification of a small victim.")
        spec = cls(**values)
        spec.check()
        return spec

    def plan_attack(self) -> Attack:
        """The attack, suited to the data set's images.

        Raises:
            UserError: no such attack in the lab, or it has no such settings.
        """
        if self.attack not in LAB_ATTACKS:
            raise UserError(f"The lab has no attack '{self.attack:.40}'; choose one of: {', '.join(LAB_ATTACKS)}.")
        attack = Plan(self.dataset, "cnn4", self.attack, settings=dict(self.settings)).make_attack()
        assert attack is not None
        return attack

    def check(self) -> None:
        """Raise UserError if a value is out of range, no image would be poisoned, or the trigger changes nothing."""
        _one_of("data set", self.dataset, DATASETS)
        _one_of("number of training images", self.images, IMAGE_NUMBERS)
        _one_of("width", self.width, WIDTHS)
        _within("number of epochs", self.epochs, 1, MOST_EPOCHS)
        _within("seed", self.seed, 0, MOST_SEED)
        _within("target label", self.target_label, 0, len(dataset_info(self.dataset).classes) - 1)
        ratio = self.poisoning_ratio
        if not isinstance(ratio, int | float) or not LEAST_POISONED / self.images <= ratio <= MOST_RATIO:
            least = 100 * LEAST_POISONED / self.images
            raise UserError(
                f"The poisoning ratio has to be from {least:g} % (one of {self.images:,} images) to "
                f"{100 * MOST_RATIO:g} %."
            )
        self._check_trigger()

    def _check_trigger(self) -> None:
        shape = dataset_info(self.dataset).shape
        flat = [torch.full(shape, level) for level in (0.0, 128 / 255, 1.0)]
        # A warp changes no flat image.
        noise = torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(0)).float() / 255
        plain = torch.stack([*flat, noise])
        if not bool((self.plan_attack().apply(plain) != plain).any()):
            raise UserError("This trigger changes no pixel of an image; make it larger or less transparent.")


def missing_images(spec: SmallVictim) -> str | None:
    """What to do to get the images that the specification needs, as a sentence; None if they are on this machine."""
    if spec.images == EMBEDDED_IMAGES or is_fetched(spec.dataset, settings.data_folder()):
        return None
    title = dataset_info(spec.dataset).title
    return (
        f"{spec.images:,} training images need the full {title}, which is not on this machine: fetch it with "
        f"'python -m invmask data {spec.dataset}', or take the {EMBEDDED_IMAGES:,} images that come with invmask."
    )


def training_images(spec: SmallVictim) -> LabelledImages:
    """The clean training images.

    Raises:
        UserError: the full data set is needed and missing.
    """
    if (sentence := missing_images(spec)) is not None:
        raise UserError(sentence)
    return _training_images(spec.dataset, spec.images, spec.seed)


@bounded(SUBSET_BYTES, latest_stays=True)
def _training_images(dataset: str, images: int, seed: int) -> LabelledImages:
    if images == EMBEDDED_IMAGES:
        return load_embedded(dataset, "budget").images
    every = load_dataset(dataset, settings.data_folder(), train=True)
    return every.take(np.sort(np.random.default_rng(seed).choice(len(every), images, replace=False)))


def poisoned_images(spec: SmallVictim) -> PoisonedSet:
    """The training images after poisoning, as the victim is trained on them.

    An attack that poisons each batch anew draws other images in every batch; this shows how it changes them.
    """
    targets = spec.plan.targets
    assert targets is not None
    return poison(training_images(spec), spec.plan_attack(), spec.poisoning_ratio, targets, spec.seed)


def sets(spec: SmallVictim) -> Sets:
    """The images that the victim is trained on, and the embedded test images, on which it is measured."""
    about = {"images": spec.images, SMALL: spec.as_json()}
    return Sets(training_images(spec), load_embedded(spec.dataset, "test").images, about)


def _one_of(what: str, value: object, allowed: tuple[Any, ...]) -> None:
    if value not in allowed or isinstance(value, bool):
        raise UserError(f"The {what} has to be one of {', '.join(map(str, allowed))}, not {value!r:.40}.")


def _within(what: str, value: object, least: int, most: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise UserError(f"The {what} has to be a whole number from {least} to {most:,}, not {value!r:.40}.")
