"""Bring in a model of one's own: a network of unknown training and clean images, as a victim that all pages know.

The victim's attack is `UNKNOWN`, its data set is `own:ID` (see `data.own`), and its name is `own-ID`.
"""

import re
import shutil
from collections.abc import Mapping
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
from invmask.victims.outputs import Outputs, another_order, match
from invmask.victims.victim import UNKNOWN, Victim, VictimCard, load_victim, save_victim, versions

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
        answers: how the network's answers are made logits, as `models.answers` describes it.
    """

    file: str = ""
    digest: str = ""
    names: Mapping[str, str] = field(default_factory=dict)
    outputs: str = ""
    notes: tuple[str, ...] = ()
    normalisations: tuple[Mapping[str, Any], ...] = ()
    counts: tuple[int, ...] = ()
    answers: Mapping[str, Any] = field(default_factory=dict)

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


def bring(
    model_id: str,
    architecture: str,
    network: nn.Module,
    images: Images,
    choices: Choices,
    about: Brought,
    home: Path | None = None,
) -> Victim:
    """Find out how the network's images are normalised and labelled, and store both as a victim.

    Args:
        model_id: see `new_id`.
        architecture: a name that `models.build` takes.
        network: maps normalised images [N, C, H, W] to logits [N, K]; in eval mode, unchanged.
        about: what is known already; the rest of it is filled in.
        home: the home to store in; None for this machine's.

    Raises:
        UserError: the network does not know these images, or classes and outputs do not fit; nothing is stored then.
    """
    network = network.eval().requires_grad_(False)
    sample = images.images.take(np.arange(min(2, len(images.images))))
    outputs = network(sample.tensor()).shape[1]
    matched = match(images.classes, outputs, choices.listed)
    pixels, labels = images.images.pixels, images.images.labels
    if images.labelled:
        known = labels >= 0
        labels = np.asarray(matched.of_class, np.int64)[labels[known]]
        pixels = pixels[known]
    chosen = LabelledImages(pixels, labels)
    among = usual(chosen) if choices.normalisation is None else (choices.normalisation,)
    tried = trials(network, chosen, images.labelled, among)
    model = Classifier(network, tried[0].normalisation.mean, tried[0].normalisation.std)
    given = answers(model, chosen.tensor()).numpy()
    acc = float((given == chosen.labels).mean()) if images.labelled else None
    if not choices.anyway:
        _check(network, chosen, acc, given, matched, tried)
    if not images.labelled:
        chosen = LabelledImages(chosen.pixels, given.astype(np.int64))
    mirrors = _mirrors(model, chosen)
    dataset = f"{OWN}{model_id}"
    test_acc, tested = _write_images(dataset, chosen, images, matched, tried[0].normalisation, mirrors, given)
    known = replace(
        about,
        outputs=matched.how,
        normalisations=tuple(_row(trial) for trial in tried),
        counts=tuple(np.bincount(chosen.labels, minlength=outputs).tolist()),
        notes=(*about.notes, _split_words(chosen, images.labelled)),
    )
    card = VictimCard(
        name=f"own-{model_id}",
        dataset=dataset,
        architecture=architecture,
        attack=UNKNOWN,
        poisoning_ratio=None,
        target_label=None,
        acc=test_acc,
        asr=None,
        ra=None,
        n_test=tested,
        training={BROUGHT: asdict(known), "brought_at": datetime.now(UTC).isoformat(timespec="seconds")},
        versions=versions(),
    )
    folder = (home or settings.home()) / "victims"
    save_victim(folder, card, model)
    return load_victim(card.name, [folder])


def forget(name: str, home: Path | None = None) -> None:
    """Delete a model of one's own with its images; runs of it remain, and say that their victim is missing."""
    where = home or settings.home()
    card = where / "victims" / f"{name}.json"
    if not name.startswith("own-") or not card.is_file():
        raise UserError(f"There is no model of your own called '{name:.60}'.")
    card.unlink()
    for weights in (where / "victims").glob(f"{name}*.safetensors"):
        weights.unlink()
    shutil.rmtree(own_folder(OWN + name.removeprefix("own-")), ignore_errors=True)


def _check(
    network: nn.Module,
    images: LabelledImages,
    acc: float | None,
    given: np.ndarray,
    matched: Outputs,
    tried: tuple[Trial, ...],
) -> None:
    """Raise UserError if the network does not know these images, and say what is likely wrong."""
    labels = images.labels
    if len(np.unique(given)) == 1 and len(given) > 1 and (acc is None or len(np.unique(labels)) > 1):
        raise UserError(
            f"The network answers {matched.names[int(given[0])]} to every image, whichever normalisation is tried. The "
            "images may be of another kind or size than it was trained on: see --size, --mean and --std."
        )
    if acc is None:
        return
    chance = 1 / max(2, len(np.unique(labels)))
    if acc >= chance + LEAST_ABOVE_CHANCE * (1 - chance):
        return
    n, best = f"n = {len(labels):,}", tried[0].normalisation.title
    # With classes in another order, the normalisation with the highest accuracy is a chance find.
    surest = max(tried, key=lambda trial: trial.information).normalisation
    sure = answers(Classifier(network, surest.mean, surest.std), images.tensor()).numpy()
    other = another_order(sure, labels)
    if other is not None and other[1] >= 2 * acc and other[1] >= chance + LEAST_ABOVE_CHANCE * (1 - chance):
        moved = [f"{matched.names[old]} is output {new}" for old, new in other[0].items() if old != new]
        first = ", ".join(moved[:3]) + (" and so on" if len(moved) > 3 else "")
        raise UserError(
            f"The network gets {100 * acc:.1f} % of the images right ({n}), but would get {100 * other[1]:.1f} % if "
            f"the classes were in another order: {first}. Give a file with the outputs' names in order, a name a line."
        )
    raise UserError(
        f"The network gets only {100 * acc:.1f} % of the images right ({n}, best normalisation: {best}). Perhaps the "
        "images are of other classes, of another size or otherwise prepared than those that it was trained on. Set "
        "what you know: the size, the normalisation, the outputs' names."
    )


def _mirrors(model: nn.Module, images: LabelledImages) -> bool:
    """Whether the network answers mirrored images as it answers the images themselves."""
    some = images.take(np.sort(np.random.default_rng(1).permutation(len(images))[:128])).tensor()
    before = answers(model, some)
    return float((answers(model, some.flip(3)) == before).double().mean()) >= SAME_WHEN_MIRRORED


def _write_images(
    dataset: str,
    chosen: LabelledImages,
    images: Images,
    matched: Outputs,
    normalisation: Normalisation,
    mirrors: bool,
    given: np.ndarray,
) -> tuple[float | None, int]:
    """Store the images in their two parts; returns the accuracy on the part to test on, and its size."""
    budget, test = split(chosen.labels)
    if not len(test):
        raise UserError(
            "There are too few images: at least one class needs two, one to defend with and one to test on."
        )
    _, height, width, channels = chosen.pixels.shape
    info = OwnInfo(
        images.title,
        matched.names,
        normalisation.mean,
        normalisation.std,
        (channels, height, width),
        mirrors,
        images.labelled,
    )
    folder = own_folder(dataset)
    about = {"classes": list(matched.names), "drawn": "images of one's own, split in two by a fixed seed"}
    parts: dict[Part, np.ndarray] = {"budget": budget, "test": test}
    for part, places in parts.items():
        write_part(folder, part, chosen.take(places), places, about)
    write_info(dataset, info)
    right = given[test] == chosen.labels[test]
    return (float(right.mean()) if images.labelled else None), len(test)


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
