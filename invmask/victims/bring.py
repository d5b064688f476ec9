"""Bring in a model of one's own: a network of unknown training and clean images, as a victim that all pages know.

The victim's attack is `UNKNOWN`, its data set is `own:ID` (see `data.own`), and its name is `own-ID`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from invmask import settings
from invmask.data.embedded import Part, write_part
from invmask.data.images import LabelledImages
from invmask.data.own import OWN, OwnInfo, own_folder, split, write_info
from invmask.errors import UserError
from invmask.measure.metrics import answers
from invmask.models import Classifier
from invmask.victims.normalisation import Normalisation, Trial, trials, usual
from invmask.victims.outputs import IN_ORDER, Outputs, another_order, in_another_order, match
from invmask.victims.victim import UNKNOWN, Victim, VictimCard, load_victim, save_victim, versions

MODULE = "module"
"""The architecture of a network in memory, which no other process can build."""
BROUGHT = "brought"
"""Key of a `Brought` in the `training` of a victim's card."""
LEAST_ABOVE_CHANCE = 0.2
"""A network whose ACC is nearer to chance than this share of the way to 1 does not fit its images."""
SAME_WHEN_MIRRORED = 0.97
"""Images may be mirrored if the network keeps at least this share of its right answers on mirrored images."""
_NO_WORD = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True)
class Brought:
    """What is known of a model of one's own beside its card.

    Attributes:
        file: the name of the file that it came in; empty for a module in memory.
        digest: SHA-256 of the file's content, or of the weights.
        names: for each tensor of the network its name in the file, where that is another one.
        outputs: how classes and outputs were matched, in a sentence.
        notes: what was done to file, network and images, in sentences.
        normalisations: each normalisation that was tried: title, acc, information, n.
        counts: number of images of each output, budget and test part together.
    """

    file: str = ""
    digest: str = ""
    names: Mapping[str, str] = field(default_factory=dict)
    outputs: str = ""
    notes: tuple[str, ...] = ()
    normalisations: tuple[Mapping[str, Any], ...] = ()
    counts: tuple[int, ...] = ()

    @classmethod
    def of(cls, card: VictimCard) -> "Brought | None":
        """What a card says; None if the victim is no model of one's own."""
        found = card.training.get(BROUGHT)
        if not isinstance(found, dict):
            return None
        known = {name: value for name, value in found.items() if name in cls.__dataclass_fields__}
        return replace(cls(**known), notes=tuple(known.get("notes", ())), counts=tuple(known.get("counts", ())))


@dataclass(frozen=True)
class Images:
    """Clean images as they were read.

    Attributes:
        images: labels are places in `classes`; -1 where nothing is known.
        classes: names of the classes; empty without labels.
        title: what they are called on screen.
    """

    images: LabelledImages
    classes: tuple[str, ...]
    title: str

    @property
    def labelled(self) -> bool:
        """Whether the true classes are known."""
        return bool(self.classes)


@dataclass(frozen=True)
class Choices:
    """What the user has set; None where it shall be found out.

    Attributes:
        normalisation: the normalisation of images.
        listed: names of the outputs, in order.
        anyway: whether a network that hardly knows its images is taken all the same.
    """

    normalisation: Normalisation | None = None
    listed: tuple[str, ...] | None = None
    anyway: bool = False


def new_id(stem: str, digest: str) -> str:
    """The ID of a model: a few letters of its file's name, and of a digest of all that it is made of."""
    word = _NO_WORD.sub("-", stem.lower()).strip("-")[:32].strip("-") or "model"
    return f"{word}-{digest[:8]}"


@dataclass(frozen=True)
class Examined:
    """A network on some clean images.

    Attributes:
        images: without those of which nothing is known; labels are outputs, -1 for all without labels.
        outputs: how classes and outputs belong together.
        trials: the normalisations tried, the best first.
        given: the network's answers with the best, int64 [N].
        acc: their accuracy in [0, 1]; None without labels.
    """

    network: nn.Module
    images: LabelledImages
    outputs: Outputs
    trials: tuple[Trial, ...]
    given: np.ndarray
    acc: float | None

    @property
    def normalisation(self) -> Normalisation:
        """The best one."""
        return self.trials[0].normalisation

    @property
    def model(self) -> Classifier:
        """The network with this normalisation."""
        return Classifier(self.network, self.normalisation.mean, self.normalisation.std)


def examine(network: nn.Module, images: Images, choices: Choices) -> Examined:
    """Match classes to outputs, and find the normalisation with which the network knows the images best.

    Args:
        network: maps normalised images [N, C, H, W] to logits [N, K]; in eval mode, unchanged.

    Raises:
        UserError: classes and outputs do not fit.
    """
    network = network.eval().requires_grad_(False)
    sample = images.images.take(np.arange(min(2, len(images.images))))
    outputs = match(images.classes, network(sample.tensor()).shape[1], choices.listed)
    pixels, labels = images.images.pixels, images.images.labels
    if images.labelled:
        known = labels >= 0
        pixels, labels = pixels[known], np.asarray(outputs.of_class, np.int64)[labels[known]]
    chosen = LabelledImages(pixels, labels)
    among = usual(chosen) if choices.normalisation is None else (choices.normalisation,)
    found = _tried(network, chosen, outputs, images.labelled, among)
    other = _reordered(found) if outputs.how == IN_ORDER else None
    if other is None:
        return found
    moved = np.asarray([other.of_class[outputs.of_class.index(label)] for label in labels], np.int64)
    return _tried(network, LabelledImages(pixels, moved), other, images.labelled, among)


def _tried(
    network: nn.Module, chosen: LabelledImages, outputs: Outputs, labelled: bool, among: Sequence[Normalisation]
) -> Examined:
    tried = trials(network, chosen, labelled, among)
    best = tried[0].normalisation
    given = answers(Classifier(network, best.mean, best.std), chosen.tensor()).numpy()
    acc = float((given == chosen.labels).mean()) if labelled else None
    return Examined(network, chosen, outputs, tried, given, acc)


def _reordered(found: Examined) -> Outputs | None:
    """The outputs in the order that the network itself suggests; None if theirs fits, or no other does."""
    acc, labels = found.acc, found.images.labels
    if acc is None or acc >= _least(labels):
        return None
    # With classes in another order, the normalisation with the highest accuracy is a chance find.
    surest = max(found.trials, key=lambda trial: trial.information).normalisation
    sure = answers(Classifier(found.network, surest.mean, surest.std), found.images.tensor()).numpy()
    other = another_order(sure, labels)
    if other is None or other[1] < max(2 * acc, _least(labels)):
        return None
    return in_another_order(found.outputs, other[0], acc, other[1])


def _least(labels: np.ndarray) -> float:
    """The least accuracy of a network that knows its images."""
    chance = 1 / max(2, len(np.unique(labels)))
    return chance + LEAST_ABOVE_CHANCE * (1 - chance)


def store(
    found: Examined,
    model_id: str,
    architecture: str,
    title: str,
    about: Brought,
    home: Path | None = None,
    reading: str = "",
    masked_layers: tuple[str, ...] = (),
) -> Victim:
    """Store network and images as a victim.

    Args:
        home: the home to store in; None for this machine's. The others are those of `describe`.

    Raises:
        UserError: there are too few images.
    """
    card = describe(found, model_id, architecture, title, about, reading, masked_layers)
    folder = (home or settings.home()) / "victims"
    save_victim(folder, card, found.model)
    return load_victim(card.name, [folder])


def describe(
    found: Examined,
    model_id: str,
    architecture: str,
    title: str,
    about: Brought,
    reading: str = "",
    masked_layers: tuple[str, ...] = (),
) -> VictimCard:
    """Store the images, and return the victim's card.

    Args:
        model_id: see `new_id`.
        architecture: a name that `models.build` takes.
        title: what the images are called on screen.
        about: what is known already; the rest of it is filled in.
        reading, masked_layers: as in `VictimCard`.

    Raises:
        UserError: there are too few images.
    """
    labelled, images = found.acc is not None, found.images
    if not labelled:
        images = LabelledImages(images.pixels, found.given.astype(np.int64))
    dataset = f"{OWN}{model_id}"
    test = _write_images(dataset, found, images, title)
    known = replace(
        about,
        outputs=found.outputs.how,
        normalisations=tuple(_row(trial) for trial in found.trials),
        counts=tuple(np.bincount(images.labels, minlength=len(found.outputs.names)).tolist()),
        notes=(*about.notes, _split_words(images, labelled)),
    )
    return VictimCard(
        name=f"own-{model_id}",
        dataset=dataset,
        architecture=architecture,
        attack=UNKNOWN,
        poisoning_ratio=None,
        target_label=None,
        acc=float((found.given[test] == images.labels[test]).mean()) if labelled else None,
        asr=None,
        ra=None,
        n_test=len(test),
        training={BROUGHT: asdict(known), "brought_at": datetime.now(UTC).isoformat(timespec="seconds")},
        versions=versions(),
        reading=reading,
        masked_layers=masked_layers,
    )


def check_fit(found: Examined) -> None:
    """Raise UserError if the network does not know these images, and say what is likely wrong."""
    acc, labels, given, names = found.acc, found.images.labels, found.given, found.outputs.names
    if len(np.unique(given)) == 1 and len(given) > 1 and (acc is None or len(np.unique(labels)) > 1):
        raise UserError(
            f"The network answers {names[int(given[0])]} to every image, whichever normalisation is tried. Perhaps the "
            "images are of another kind or size than it was trained on. Set what you know: the size, the normalisation."
        )
    if acc is None or acc >= _least(labels):
        return
    n = f"n = {len(labels):,}"
    raise UserError(
        f"The network gets only {100 * acc:.1f} % of the images right ({n}, best normalisation: "
        f"{found.normalisation.title}). Perhaps the images are of other classes, of another size or otherwise prepared "
        "than those that it was trained on. Set what you know: the size, the normalisation, the outputs' names."
    )


def _mirrors(model: nn.Module, images: LabelledImages) -> bool:
    """Whether the network answers mirrored images as it answers the images themselves."""
    some = images.take(np.sort(np.random.default_rng(1).permutation(len(images))[:128])).tensor()
    before = answers(model, some)
    return float((answers(model, some.flip(3)) == before).double().mean()) >= SAME_WHEN_MIRRORED


def _write_images(dataset: str, found: Examined, images: LabelledImages, title: str) -> np.ndarray:
    """Store the images in their two parts; returns the indices of those to test on."""
    budget, test = split(images.labels)
    if not len(test):
        raise UserError(
            "There are too few images: at least one class needs two, one to defend with and one to test on."
        )
    _, height, width, channels = images.pixels.shape
    names, normalisation = found.outputs.names, found.normalisation
    info = OwnInfo(
        title,
        names,
        normalisation.mean,
        normalisation.std,
        (channels, height, width),
        mirrors=_mirrors(found.model, images),
        labelled=found.acc is not None,
    )
    about = {"classes": list(names), "drawn": "images of one's own, split in two by a fixed seed"}
    parts: dict[Part, np.ndarray] = {"budget": budget, "test": test}
    for part, places in parts.items():
        write_part(own_folder(dataset), part, images.take(places), places, about)
    write_info(dataset, info)
    return test


def _split_words(images: LabelledImages, labelled: bool) -> str:
    budget, test = split(images.labels)
    kind = "class" if labelled else "answer of the network"
    return (
        f"Of {len(images):,} images, {len(budget):,} are for budgets and {len(test):,} to test on, divided by the "
        f"{kind} and a fixed seed."
    )


def _row(trial: Trial) -> dict[str, Any]:
    """A trial as JSON values."""
    return {
        "name": trial.normalisation.name,
        "title": trial.normalisation.title,
        "mean": list(trial.normalisation.mean),
        "std": list(trial.normalisation.std),
        "acc": trial.acc,
        "information": trial.information,
        "n": trial.images,
    }
