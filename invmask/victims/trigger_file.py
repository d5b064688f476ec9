"""The file of an attack's networks, stored with the victim: ``<victim>.trigger.safetensors``."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from invmask.attacks.base import Attack, TrainedAttack
from invmask.errors import UserError
from invmask.memory import MIB, bounded

MAX_BYTES = 64 << 20
TRIGGER_BYTES = 96 * MIB
"""Bound of the cache of read networks: room for one of the largest."""
DIGITS = 12
"""Digits of the SHA-256 used in a file's name."""


@dataclass(frozen=True)
class TriggerFile:
    """The name (without folder) of a file beside the card, and its SHA-256 in hex."""

    file: str
    sha256: str


def trigger_file(victim: str, attack: TrainedAttack, another: bool = False) -> tuple[TriggerFile, bytes]:
    """The file of the networks of `attack`: its entry in the card, and its content.

    Args:
        another: see `file_name`.
    """
    content = save(attack.tensors())
    name = file_name(victim, "trigger.safetensors", content, another)
    return TriggerFile(name, hashlib.sha256(content).hexdigest()), content


def file_name(victim: str, ending: str, content: bytes, another: bool) -> str:
    """`<victim>.<ending>`; if `another` victim still has that name, a part of the content's SHA-256 is inserted.

    So the files of the existing victim remain until its card is replaced.
    """
    own = f"{hashlib.sha256(content).hexdigest()[:DIGITS]}." if another else ""
    return f"{victim}.{own}{ending}"


def restore(attack: Attack, stored: dict[str, Any], folder: Path | None) -> Attack:
    """The attack with its stored networks. An attack without networks is returned unchanged.

    Args:
        stored: the card's `TriggerFile` as a dictionary.
        folder: the folder of the card.

    Raises:
        UserError: the file is missing, too large, has another SHA-256 than in the card, or holds other networks.
    """
    if not isinstance(attack, TrainedAttack):
        return attack
    name, digest = stored.get("file"), stored.get("sha256")
    # A card from elsewhere must not point outside its folder.
    if folder is None or not isinstance(name, str) or Path(name).name != name or not isinstance(digest, str):
        raise UserError(f"The victim's card does not say where the networks of {attack.title} are; train it again.")
    try:
        return attack.with_tensors(_read(folder / name, digest))
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise UserError(
            f"{folder / name} does not hold the networks of {attack.title} that the victim was trained with; "
            "copy it again or train the victim again."
        ) from error


@bounded(TRIGGER_BYTES)
def _read(path: Path, digest: str) -> dict[str, Tensor]:
    if path.stat().st_size > MAX_BYTES:
        raise ValueError("too large")
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != digest:
        raise ValueError("another file")
    return load(content)
