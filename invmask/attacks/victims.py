"""Victims: a trained classifier, what was done to it, and how it measures on the full test set.

A victim is two files: ``<name>.safetensors`` (the network's state_dict) and ``<name>.json`` (its card).
"""

import json
import platform
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from invmask.attacks.base import Attack
from invmask.attacks.registry import make_attack
from invmask.data.images import DatasetInfo, LabelledImages
from invmask.data.registry import dataset_info
from invmask.errors import UserError
from invmask.metrics import Measures, answers, flags
from invmask.models import Classifier, build

MAX_WEIGHT_BYTES = 2 << 30
MAX_CARD_BYTES = 1 << 20
CLEAN = "clean"


@dataclass(frozen=True)
class VictimCard:
    """What is known of a victim. Fractions in [0, 1]; `asr`, `ra`, `target_label` are None for a clean control."""

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

    @property
    def dataset_info(self) -> DatasetInfo:
        return dataset_info(self.dataset)

    def make_attack(self) -> Attack | None:
        """The attack with this victim's settings; None for a clean control."""
        return None if self.attack == CLEAN else make_attack(self.attack, self.attack_settings)


@dataclass(frozen=True)
class Victim:
    """A card and the model in eval mode. The model is shared: put masks on a copy (`masks.attach.sharing_copy`)."""

    card: VictimCard
    model: Classifier


def victim_name(dataset: str, architecture: str, attack: str) -> str:
    """``<dataset>-<architecture>-<attack>``."""
    return f"{dataset}-{architecture}-{attack}"


def new_model(dataset: str, architecture: str) -> Classifier:
    """An untrained classifier for a data set, normalisation inside.

    Raises:
        UserError: unknown data set or architecture.
    """
    info = dataset_info(dataset)
    return Classifier(build(architecture, len(info.classes), info.shape), info.mean, info.std)


def measure(
    model: torch.nn.Module, test: LabelledImages, attack: Attack | None, target_label: int | None, device: str = "cpu"
) -> Measures:
    """ACC / ASR / RA of a model on all of `test` (float32)."""
    model = model.eval().to(device)
    images, labels = test.tensor(), test.label_tensor()
    clean = answers(model, images.to(device))
    if attack is None or target_label is None:
        return flags(clean, labels).measures()
    others = labels != target_label
    triggered = answers(model, attack.apply(images[others]).to(device))
    return flags(clean, labels, triggered, labels[others], target_label).measures()


def save_victim(folder: Path, card: VictimCard, model: Classifier) -> None:
    """Write both files; the card last, so that a card always has its weights."""
    folder.mkdir(parents=True, exist_ok=True)
    weights: dict[str, Tensor] = {
        key: value.detach().cpu().contiguous() for key, value in model.network.state_dict().items()
    }
    save_file(weights, folder / f"{card.name}.safetensors")
    (folder / f"{card.name}.json").write_text(json.dumps(asdict(card), indent=2) + "\n")


def read_card(path: Path) -> VictimCard:
    """A card from its JSON file.

    Raises:
        UserError: not a card.
    """
    try:
        if path.stat().st_size > MAX_CARD_BYTES:
            raise ValueError("too large")
        return VictimCard(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{path} is not a victim's card; delete it or train the victim again.") from error


def find_cards(folders: list[Path]) -> dict[str, Path]:
    """Card files by victim name; an earlier folder wins."""
    found: dict[str, Path] = {}
    for path in _card_files(folders):
        found.setdefault(path.stem, path)
    return found


def load_victim(name: str, folders: list[Path]) -> Victim:
    """A victim by name from the first of `folders` that has it, in eval mode on the CPU.

    Raises:
        UserError: no victim of that name, or weights that do not fit its card.
    """
    cards = find_cards(folders)
    if name not in cards:
        known = ", ".join(sorted(cards)) or "none yet"
        raise UserError(f"There is no victim '{name}'; choose one of: {known}.")
    card = read_card(cards[name])
    weights = cards[name].with_suffix(".safetensors")
    model = new_model(card.dataset, card.architecture)
    try:
        if weights.stat().st_size > MAX_WEIGHT_BYTES:
            raise ValueError("too large")
        model.network.load_state_dict(load_file(weights))
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise UserError(
            f"{weights} does not hold the weights of a {card.architecture}; train the victim again."
        ) from error
    model.requires_grad_(False)
    return Victim(card, model.eval())


def versions() -> dict[str, str]:
    """Versions that bear on the numbers."""
    import torchvision

    return {"python": platform.python_version(), "torch": torch.__version__, "torchvision": torchvision.__version__}


def _card_files(folders: list[Path]) -> Iterator[Path]:
    for folder in folders:
        yield from sorted(folder.glob("*.json"))
