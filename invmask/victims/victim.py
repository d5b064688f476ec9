"""Victims: a trained classifier, what was done to it, and how it measures on the full test set.

A victim is two files: ``<name>.safetensors`` (the network's state_dict) and ``<name>.json`` (its card). Where its
trigger is made by networks, these are a third one, which the card names (see `trigger_file`). One that took the place
of another has its weights in a file that the card names, too: a card and its files are replaced at once.
"""

import contextlib
import json
import platform
import re
from collections.abc import Iterator
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
from invmask.victims.card_values import check_values
from invmask.victims.trigger_file import DIGITS, file_name, restore, trigger_file

MAX_WEIGHT_BYTES = 2 << 30
MAX_CARD_BYTES = 1 << 20
CLEAN = "clean"
USUAL_RATIO = 0.1
USUAL = ("cifar10", "preactresnet18w16")
"""Data set and architecture that a victim is shown on, and embedded with every attack."""


@dataclass(frozen=True)
class VictimCard:
    """What is known of a victim. Fractions in [0, 1]; `asr`, `ra`, `target_label` are None for a clean control.

    Attributes:
        target_label: None for all-to-all, too; what the backdoor answers to an image, `targets` knows.
        labels: how poisoned images were labelled (see `poison_set.LABELLINGS`).
        n_triggered: images behind `asr` and `ra`; None where that was not noted, and for a clean control.
        trigger_file: where the networks are that make the trigger (a `TriggerFile`); empty where none do.
        weights_file: where the network is, by the name of a file beside the card; empty for ``<name>.safetensors``.
        folder: where the card was read from; never part of it.
    """

    name: str
    dataset: str
    architecture: str
    attack: str
    poisoning_ratio: float
    target_label: int | None
    acc: float
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
    folder: Path | None = field(default=None, compare=False, repr=False)

    @property
    def dataset_info(self) -> DatasetInfo:
        return dataset_info(self.dataset)

    @property
    def targets(self) -> Targets | None:
        """What the backdoor shall answer; None for a clean control."""
        if self.attack == CLEAN:
            return None
        classes = len(self.dataset_info.classes)
        if self.labels == ALL_TO_ALL:
            return Targets.all_to_all(classes)
        return None if self.target_label is None else Targets.all_to_one(self.target_label, classes)

    def target_of(self, true: int) -> int | None:
        """What the backdoor shall answer to a triggered image of the class `true`; None for a clean control."""
        return None if self.targets is None else self.targets.of_class[true]

    def attacked(self, labels: np.ndarray) -> np.ndarray:
        """Which images, by their true labels int64 [N], the backdoor is for, bool [N]; all for a clean control."""
        if self.targets is None:
            return np.ones(len(labels), dtype=bool)
        return self.targets.attacked(torch.from_numpy(labels)).numpy()

    def make_attack(self) -> Attack | None:
        """The attack with this victim's settings and networks; None for a clean control.

        Raises:
            UserError: the attack's networks are not where the card says.
        """
        if self.attack == CLEAN:
            return None
        return restore(make_attack(self.attack, self.attack_settings), self.trigger_file, self.folder)


@dataclass(frozen=True)
class Victim:
    """A card and the model in eval mode. The model is shared: put masks on a copy (`masks.attach.sharing_copy`)."""

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
    """``<dataset>-<architecture>-<attack>``, and after it whatever is not usual: ``-p5-t3-clean_label``."""
    unusual = [f"p{100 * poisoning_ratio:g}"] if poisoning_ratio != USUAL_RATIO else []
    unusual += [f"t{target_label}"] if target_label and labels != ALL_TO_ALL else []
    unusual += [labels.replace("-", "_")] if labels != ALL_TO_ONE else []
    return "-".join([dataset, architecture, attack, *unusual])


def new_model(dataset: str, architecture: str) -> Classifier:
    """An untrained classifier for a data set, normalisation inside.

    Raises:
        UserError: unknown data set or architecture.
    """
    info = dataset_info(dataset)
    return Classifier(build(architecture, len(info.classes), info.shape), info.mean, info.std)


def measure(
    model: torch.nn.Module, test: LabelledImages, attack: Attack | None, targets: Targets | None, device: str = "cpu"
) -> Measures:
    """ACC / ASR / RA of a model on all of `test` (float32)."""
    model = model.eval().to(device)
    images, labels = test.tensor(), test.label_tensor()
    clean = answers(model, images.to(device))
    if attack is None or targets is None:
        return flags(clean, labels).measures()
    others = targets.attacked(labels)
    triggered = answers(model, attack.apply(images[others].to(device)))
    return flags(clean, labels, triggered, labels[others], targets.of(labels[others])).measures()


def save_victim(folder: Path, card: VictimCard, model: Classifier, attack: Attack | None = None) -> VictimCard:
    """Write all files; the card last, so that a card always has its own weights.

    A victim of that name that is there already stays as it is until all of the new one is on disk: whatever happens,
    one of both is there, whole. Of two processes that store a victim under one name, one waits for the other.

    Args:
        attack: with the networks to store; where it has none, it is as good as the card's settings.

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
        unsaid = {"folder"} if card.weights_file else {"folder", "weights_file"}
        said = {key: value for key, value in asdict(card).items() if key not in unsaid}
        try:
            for name, content in contents.items():
                disk.write_bytes(folder / name, content)
            disk.write_bytes(path, (json.dumps(said, indent=2) + "\n").encode())
        finally:
            _remove_unused(folder, card.name)
            # The last thing done under it: who comes now takes a lock of another file.
            lock.unlink(missing_ok=True)
    return card


def _remove_unused(folder: Path, name: str) -> None:
    """Remove what a victim's card does not name: files of one before it, or what an interrupted writer left."""
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
            # What is left is removed the next time.
            with contextlib.suppress(OSError):
                file.unlink()


def weights_path(path: Path) -> Path:
    """Where the weights are of the victim whose card is `path`; of a damaged card, where they usually are."""
    with contextlib.suppress(UserError):
        if file := read_card(path).weights_file:
            return path.with_name(file)
    return path.with_suffix(".safetensors")


def read_card(path: Path) -> VictimCard:
    """A card from its JSON file.

    Raises:
        UserError: not a card.
    """
    try:
        if path.stat().st_size > MAX_CARD_BYTES:
            raise ValueError("too large")
        card = VictimCard(**check_values(json.loads(path.read_text())), folder=path.parent)
        if card.labels not in LABELLINGS or (card.dataset in DATASETS and not _consistent(card)):
            raise ValueError("no such target")
        # A card from elsewhere must not send us anywhere.
        if card.weights_file and Path(card.weights_file).name != card.weights_file:
            raise ValueError("no file beside it")
        return card
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{path} is not a victim's card; delete it or train the victim again.") from error


def _consistent(card: VictimCard) -> bool:
    """Whether the backdoor that the card tells of has a target; raises ValueError or TypeError for no label at all."""
    return card.attack == CLEAN or card.targets is not None


def find_cards(folders: list[Path]) -> dict[str, Path]:
    """Card files by victim name; an earlier folder wins."""
    found: dict[str, Path] = {}
    for path in _card_files(folders):
        found.setdefault(path.stem, path)
    return found


def load_victim(name: str, folders: list[Path]) -> Victim:
    """A victim by name from the first of `folders` that has it, in eval mode on the CPU.

    Raises:
        UserError: no victim of that name, or weights or a trigger's networks that do not fit its card.
    """
    cards = find_cards(folders)
    if name not in cards:
        known = ", ".join(sorted(cards)) or "none yet"
        raise UserError(f"There is no victim '{name}'; choose one of: {known}.")
    card = read_card(cards[name])
    weights = weights_path(cards[name])
    model = new_model(card.dataset, card.architecture)
    try:
        if weights.stat().st_size > MAX_WEIGHT_BYTES:
            raise ValueError("too large")
        model.network.load_state_dict(load_file(weights))
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        # Another may just have taken its place.
        if read_card(cards[name]) != card:
            return load_victim(name, folders)
        raise UserError(
            f"{weights} does not hold the weights of a {card.architecture}; train the victim again."
        ) from error
    card.make_attack()
    model.requires_grad_(False)
    return Victim(card, model.eval())


def versions() -> dict[str, str]:
    """Versions that bear on the numbers."""
    # Torchvision takes seconds to import.
    return {"python": platform.python_version(), "torch": torch.__version__, "torchvision": _version("torchvision")}


# A package's metadata are parsed anew each time, and a sweep asks for every case.
_version = lru_cache(maxsize=None)(version)


def _card_files(folders: list[Path]) -> Iterator[Path]:
    for folder in folders:
        yield from sorted(folder.glob("*.json"))
