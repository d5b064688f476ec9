"""Victims: a trained classifier, how it was poisoned and trained, and its measures on the full test set.

A victim has two files: ``<name>.safetensors`` (the network's state_dict) and ``<name>.json`` (its card). If networks
make its trigger, they are in a third file, which the card names (see `trigger_file`). If the victim replaced another
one, the card also names the file of its weights. So replacing the card replaces all files at once.
"""

import contextlib
import json
import platform
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from invmask import disk
from invmask.attacks.base import Attack, Labels, TrainedAttack
from invmask.attacks.registry import make_attack
from invmask.attacks.training.poison_set import ALL_TO_ALL, ALL_TO_ONE, LABELLINGS
from invmask.data.images import DATASETS, DatasetInfo, LabelledImages
from invmask.data.registry import dataset_info
from invmask.errors import UserError
from invmask.measure.metrics import Measures, answers, flags
from invmask.measure.target_labels import Targets
from invmask.models import Classifier, build
from invmask.models.answers import Reading, adapted
from invmask.victims.card_values import check_values
from invmask.victims.trigger_file import DIGITS, file_name, restore, trigger_file

MAX_WEIGHT_BYTES = 2 << 30
MAX_CARD_BYTES = 1 << 20
CLEAN = "clean"
"""The attack of a control: a network that was trained on clean images alone."""
UNKNOWN = "unknown"
"""The attack of a network of one's own: nobody knows a trigger for it, or whether there is one."""
USUAL_RATIO = 0.1
_ONLY_IF_SET = ("weights_file", "reading", "masked_layers")
"""Values that a card's file has only if they are set."""
USUAL = ("cifar10", "preactresnet18w16")
"""Data set and architecture that are shown by default; victims of every attack on them come with invmask."""


@dataclass(frozen=True)
class VictimCard:
    """The description of a victim. Shares are in [0, 1].

    A victim without a trigger has no `asr`, `ra` and `target_label`: a clean control, which has no backdoor, and a
    network of unknown attack, of which nobody knows. `without_trigger` holds what is said of each.

    Attributes:
        poisoning_ratio: poisoned share of the training set; None if it is not known.
        target_label: the target label; None for all-to-all too, see `targets`.
        acc: clean accuracy; None if the true classes of its images are not known.
        labels: how poisoned images were labelled (see `poison_set.LABELLINGS`).
        n_triggered: number of images behind `asr` and `ra`; None if it was not noted, and without a trigger.
        trigger_file: the file of the networks that make the trigger (a `TriggerFile`); empty if no networks do.
        weights_file: name of the file of the weights, beside the card; empty for ``<name>.safetensors``.
        reading: how logits are read from what the network returns (see `models.answers.Reading`); empty if it returns
            its logits.
        masked_layers: names of the layers to mask; empty for the usual ones.
        folder: the folder that the card was read from; not stored in the card.
    """

    name: str
    dataset: str
    architecture: str
    attack: str
    poisoning_ratio: float | None
    target_label: int | None
    acc: float | None
    asr: float | None
    ra: float | None
    n_test: int
    attack_settings: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    machine: str = ""
    labels: Labels = ALL_TO_ONE
    trigger_file: dict[str, str] = field(default_factory=dict)
    n_triggered: int | None = None
    weights_file: str = ""
    reading: str = ""
    masked_layers: tuple[str, ...] = ()
    folder: Path | None = field(default=None, compare=False, repr=False)

    @property
    def dataset_info(self) -> DatasetInfo:
        return dataset_info(self.dataset)

    @property
    def is_control(self) -> bool:
        """Whether it was trained on clean images alone, and so has no backdoor."""
        return self.attack == CLEAN

    @property
    def is_unknown(self) -> bool:
        """Whether nobody knows a trigger for it, or whether there is one."""
        return self.attack == UNKNOWN

    @property
    def targets(self) -> Targets | None:
        """The backdoor's target for each class; None without a known trigger."""
        if self.attack in (CLEAN, UNKNOWN):
            return None
        classes = len(self.dataset_info.classes)
        if self.labels == ALL_TO_ALL:
            return Targets.all_to_all(classes)
        return None if self.target_label is None else Targets.all_to_one(self.target_label, classes)

    def target_of(self, true: int) -> int | None:
        """The backdoor's target for a triggered image of the class `true`; None without a known trigger."""
        return None if self.targets is None else self.targets.of_class[true]

    def attacked(self, labels: np.ndarray) -> np.ndarray:
        """Which images the backdoor attacks, bool [N], from their true labels int64 [N]; all if no trigger is known."""
        if self.targets is None:
            return np.ones(len(labels), dtype=bool)
        return self.targets.attacked(torch.from_numpy(labels)).numpy()

    def make_attack(self) -> Attack | None:
        """The attack with this victim's settings and networks; None without a known trigger.

        Raises:
            UserError: the attack's networks are missing, or their file is not the one that the card names.
        """
        if self.attack in (CLEAN, UNKNOWN):
            return None
        return restore(make_attack(self.attack, self.attack_settings), self.trigger_file, self.folder)


@dataclass(frozen=True)
class Victim:
    """A card and its model in eval mode. The model is shared, so put masks on a copy (`masks.attach.sharing_copy`)."""

    card: VictimCard
    model: Classifier


def victim_name(
    dataset: str,
    architecture: str,
    attack: str,
    poisoning_ratio: float = USUAL_RATIO,
    target_label: int = 0,
    labels: Labels = ALL_TO_ONE,
) -> str:
    """``<dataset>-<architecture>-<attack>``, then every value that is not the usual one: ``-p5-t3-clean_label``."""
    unusual = [f"p{100 * poisoning_ratio:g}"] if poisoning_ratio != USUAL_RATIO else []
    unusual += [f"t{target_label}"] if target_label and labels != ALL_TO_ALL else []
    unusual += [labels.replace("-", "_")] if labels != ALL_TO_ONE else []
    return "-".join([dataset, architecture, attack, *unusual])


def new_model(dataset: str, architecture: str, reading: str = "", masked_layers: Sequence[str] = ()) -> Classifier:
    """An untrained classifier for a data set, with the input normalisation inside.

    Args:
        reading, masked_layers: as in `VictimCard`.

    Raises:
        UserError: unknown data set or architecture.
    """
    info = dataset_info(dataset)
    network = adapted(build(architecture, len(info.classes), info.shape), Reading.parse(reading))
    model = Classifier(network, info.mean, info.std)
    if masked_layers:
        model.masked_layers = tuple(masked_layers)  # type: ignore[assignment]
    return model


def measure(
    model: torch.nn.Module, test: LabelledImages, attack: Attack | None, targets: Targets | None, device: str = "cpu"
) -> Measures:
    """ACC, ASR and RA of a model on all of `test`, computed in float32."""
    model = model.eval().to(device)
    images, labels = test.tensor(), test.label_tensor()
    clean = answers(model, images.to(device))
    if attack is None or targets is None:
        return flags(clean, labels).measures()
    others = targets.attacked(labels)
    triggered = answers(model, attack.apply(images[others].to(device)))
    return flags(clean, labels, triggered, labels[others], targets.of(labels[others])).measures()


def save_victim(folder: Path, card: VictimCard, model: Classifier, attack: Attack | None = None) -> VictimCard:
    """Write all files of a victim; the card comes last, so that a card always belongs to its weights.

    An existing victim of that name remains until the new one is completely on disk, so there is always one complete
    victim. If two processes store victims under one name, one waits for the other.

    Args:
        attack: the attack with the networks to store; not needed if the attack has no networks.

    Returns:
        The card as it was written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = folder / f".{card.name}.store.lock"
    with FileLock(lock):
        path = folder / f"{card.name}.json"
        another, contents = path.exists(), dict[str, bytes]()
        card = replace(card, folder=folder, weights_file="")
        if isinstance(attack, TrainedAttack):
            trigger, content = trigger_file(card.name, attack, another)
            card, contents[trigger.file] = replace(card, trigger_file=asdict(trigger)), content
        weights: dict[str, Tensor] = {
            key: value.detach().cpu().contiguous() for key, value in model.network.state_dict().items()
        }
        content = save(weights)
        file = file_name(card.name, "safetensors", content, another)
        contents[file] = content
        card = replace(card, weights_file=file if another else "")
        unsaid = {"folder", *(key for key in _ONLY_IF_SET if not getattr(card, key))}
        said = {key: value for key, value in asdict(card).items() if key not in unsaid}
        try:
            for name, content in contents.items():
                disk.write_bytes(folder / name, content)
            disk.write_bytes(path, (json.dumps(said, indent=2) + "\n").encode())
        finally:
            _remove_unused(folder, card.name)
            # This comes last under the lock: a process that arrives now locks another file.
            lock.unlink(missing_ok=True)
    return card


def _remove_unused(folder: Path, name: str) -> None:
    """Remove files that a victim's card does not name: those of an earlier victim or of an interrupted writer."""
    path, used = folder / f"{name}.json", set[str]()
    if path.exists():
        try:
            card = read_card(path)
        except UserError:
            return
        used = {weights_path(path).name, card.trigger_file.get("file", "")}
    own = re.compile(rf"{re.escape(name)}(\.[0-9a-f]{{{DIGITS}}})?(\.trigger)?\.safetensors")
    begun = re.compile(rf"\.({own.pattern}|{re.escape(path.name)})\.\d+-[0-9a-f]+\.part")
    for file in folder.iterdir():
        if (own.fullmatch(file.name) and file.name not in used) or begun.fullmatch(file.name):
            # Files that remain are removed the next time.
            with contextlib.suppress(OSError):
                file.unlink()


def weights_path(path: Path) -> Path:
    """The file of the weights of the victim whose card is `path`; the usual file if the card is damaged."""
    with contextlib.suppress(UserError):
        if file := read_card(path).weights_file:
            return path.with_name(file)
    return path.with_suffix(".safetensors")


def read_card(path: Path) -> VictimCard:
    """Read a card from its JSON file.

    Raises:
        UserError: the file is not a valid card.
    """
    try:
        if path.stat().st_size > MAX_CARD_BYTES:
            raise ValueError("too large")
        values = check_values(json.loads(path.read_text()))
        layers = tuple(values.get("masked_layers", ()))
        card = VictimCard(**{**values, "masked_layers": layers}, folder=path.parent)
        if card.labels not in LABELLINGS or (card.dataset in DATASETS and not _consistent(card)):
            raise ValueError("no such target")
        # A card from elsewhere must not point outside its folder.
        if card.weights_file and Path(card.weights_file).name != card.weights_file:
            raise ValueError("no file beside it")
        return card
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{path} is not a victim's card; delete it or train the victim again.") from error


def _consistent(card: VictimCard) -> bool:
    """Whether the card's backdoor has a target. Raises ValueError or TypeError if the target is not a label."""
    return card.attack in (CLEAN, UNKNOWN) or card.targets is not None


def find_cards(folders: list[Path]) -> dict[str, Path]:
    """Card files by victim name; an earlier folder wins."""
    found: dict[str, Path] = {}
    for path in _card_files(folders):
        found.setdefault(path.stem, path)
    return found


def load_victim(name: str, folders: list[Path]) -> Victim:
    """Load a victim by name from the first of `folders` that has it, in eval mode on the CPU.

    Raises:
        UserError: there is no victim of that name, or its weights or its trigger's networks do not fit its card.
    """
    cards = find_cards(folders)
    if name not in cards:
        known = ", ".join(sorted(cards)) or "none yet"
        raise UserError(f"There is no victim '{name}'; choose one of: {known}.")
    card = read_card(cards[name])
    weights = weights_path(cards[name])
    model = new_model(card.dataset, card.architecture, card.reading, card.masked_layers)
    try:
        if weights.stat().st_size > MAX_WEIGHT_BYTES:
            raise ValueError("too large")
        model.network.load_state_dict(load_file(weights))
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        # Another victim may just have replaced it.
        if read_card(cards[name]) != card:
            return load_victim(name, folders)
        raise UserError(
            f"{weights} does not hold the weights of a {card.architecture}; train the victim again."
        ) from error
    card.make_attack()
    model.requires_grad_(False)
    return Victim(card, model.eval())


def versions() -> dict[str, str]:
    """Versions of the software that affect the numbers."""
    # Read from the package metadata, because importing torchvision takes seconds.
    return {"python": platform.python_version(), "torch": torch.__version__, "torchvision": _version("torchvision")}


# Cached, because a package's metadata are parsed at every call, and a sweep calls this for every case.
_version = lru_cache(maxsize=None)(version)


def _card_files(folders: list[Path]) -> Iterator[Path]:
    for folder in folders:
        yield from sorted(folder.glob("*.json"))
