"""What stored results about a run rest on: where any of it is another, they are stale and are computed anew."""

import contextlib
import hashlib
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

from invmask.errors import UserError
from invmask.runs.entries import RunSummary
from invmask.runs.run import Run
from invmask.settings import victim_folders


def result_key(run: Run, *settings: Any) -> str:
    """Of a result about the run's masks: of its victim, the channel score's definition and the result's own settings.

    Raises:
        UserError: a damaged run, or one that was deleted.
    """
    from invmask.evidence.scores import SCORE_VERSION

    return _digest(victim_digest(run.spec().victim, victim_folders(run.path.parents[1])), SCORE_VERSION, *settings)


def victim_key(run: Run, *settings: Any) -> str:
    """Of a result about the run's victim alone: of its files, the arithmetic and the result's own settings.

    Raises:
        UserError: a damaged run, or one that was deleted.
    """
    spec = run.spec()
    precision = spec.precision if spec.device == "cpu" else "float32"
    return _digest(victim_digest(spec.victim, victim_folders(run.path.parents[1])), precision, *settings)


def victim_digest(name: str, folders: list[Path]) -> str:
    """SHA-256 of a victim's card, which the trigger is on, and of its weights; of nothing where there is none."""
    from invmask.attacks.victims import find_cards

    card = find_cards(folders).get(name)
    if card is None:
        return _digest()
    return _digest(*(_of_file(path, *_stamp(path)) for path in (card, card.with_suffix(".safetensors"))))


def check_victim(run: Run) -> None:
    """See that the run's masks are of the network that has the victim's name now.

    Raises:
        UserError: it is another one, or the run is damaged.
    """
    if has_other_victim(run):
        raise UserError(
            f"The victim {run.spec().victim} is another one than when run {run.id} began: it was trained again, or one "
            "of that name comes with invmask now. Begin a new run with it."
        )


def has_other_victim(run: Run) -> bool:
    """Whether another network has the name of the run's victim now.

    Raises:
        UserError: the run is damaged.
    """
    return _is_of_another(run, weights_digest(run.spec().victim, victim_folders(run.path.parents[1])))


def _is_of_another(run: Run, weights: str | None) -> bool:
    shapes = run.shapes()
    return shapes is not None and shapes.weights is not None and weights not in (None, shapes.weights)


def of_todays_victim(runs: Iterable[RunSummary], victim: str, folder: Path) -> list[RunSummary]:
    """The runs of a victim whose masks are of the network that has its name now.

    Args:
        folder: where the runs are.
    """
    found, weights = [], weights_digest(victim, victim_folders(folder.parent))
    for summary in runs:
        # A damaged or deleted one is none that a curve could have.
        with contextlib.suppress(UserError):
            if summary.spec.victim == victim and not _is_of_another(Run(folder / summary.id), weights):
                found.append(summary)
    return found


def weights_digest(name: str, folders: list[Path]) -> str | None:
    """SHA-256 of a victim's weights; None where there is no such victim."""
    from invmask.attacks.victims import find_cards

    card = find_cards(folders).get(name)
    if card is None:
        return None
    weights = card.with_suffix(".safetensors")
    return _of_file(weights, *_stamp(weights))


def _stamp(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_size


@lru_cache(maxsize=64)
def _of_file(path: Path, changed: int, size: int) -> str:  # noqa: ARG001  (they tell a changed file from a known one)
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def _digest(*parts: Any) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()
