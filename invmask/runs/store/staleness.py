"""What stored results about a run depend on. If any of it changes, the results are stale and computed again."""

import contextlib
import hashlib
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

from invmask.data.embedded import stamp
from invmask.errors import UserError
from invmask.runs.store.records import RunSummary
from invmask.runs.store.run import Run
from invmask.settings import data_folder, own_folder, victim_folders


def result_key(run: Run, *settings: Any) -> str:
    """The key of a result about the run's masks: it covers the victim, the channel score's version and `settings`.

    Raises:
        UserError: a damaged run, or one that was deleted.
    """
    from invmask.evidence.scores import SCORE_VERSION

    return _digest(victim_digest(run.spec().victim, victim_folders(run.home)), SCORE_VERSION, *settings)


def victim_key(run: Run, *settings: Any) -> str:
    """The key of a result about the run's victim only: it covers the victim's files, the precision and `settings`.

    Raises:
        UserError: a damaged run, or one that was deleted.
    """
    spec = run.spec()
    precision = spec.probe_precision
    return _digest(victim_digest(spec.victim, victim_folders(run.home)), precision, *settings)


def victim_digest(name: str, folders: list[Path]) -> str:
    """SHA-256 of a victim's card (with the trigger), its weights, and the images drawn for its data set.

    If there is no such victim, it is the SHA-256 of no data.
    """
    from invmask.victims.victim import weights_path

    card = _card_of(name, folders)
    if card is None:
        return _digest()
    return _digest(*map(_of_file, (card, weights_path(card), *_drawn(card))))


def check_victim(run: Run) -> None:
    """Check that the run's masks belong to the victim that now has the victim's name.

    Raises:
        UserError: the name now means another victim, or the run is damaged.
    """
    if why := another_victim(run):
        raise UserError(
            f"The victim {run.spec().victim} is another one than when run {run.id} began: {why}. Begin a new run with "
            "it."
        )


def another_victim(run: Run) -> str | None:
    """Why the name of the run's victim now means another network or other images, in words; None if it does not.

    Raises:
        UserError: the run is damaged.
    """
    victim, folders = run.spec().victim, victim_folders(run.home)
    shapes = run.shapes()
    if shapes is None or not _is_another(shapes.weights, weights_digest(victim, folders)):
        return None
    if _drawn(_card_of(victim, folders)):
        return "it was trained again, or the images of its data set were drawn again"
    return "it was trained again, or one of that name comes with invmask now"


def _is_another(then: str | None, now: str | None) -> bool:
    return then is not None and now not in (None, then)


def of_todays_victim(runs: Iterable[RunSummary], victim: str, folder: Path) -> list[RunSummary]:
    """The runs whose masks belong to the network and drawn images that the victim's name means now.

    Args:
        folder: the folder of the runs.
    """
    weights = weights_digest(victim, victim_folders(folder.parent))
    return [run for run in runs if run.spec.victim == victim and not _is_another(run.weights, weights)]


def victims_stamp(folders: list[Path]) -> int:
    """A value that changes when files of any victim in `folders`, or images drawn for any data set, are rewritten."""
    from invmask.data.embedded import PREPARED

    found = [path for folder in folders for path in folder.glob("*") if path.suffix in (".json", ".safetensors")]
    found += (data_folder() / PREPARED).glob("*/*")
    found += own_folder().glob("*/*.*")
    return hash(tuple((str(path), *stamp(path)) for path in sorted(found)))


def weights_digest(name: str, folders: list[Path]) -> str | None:
    """SHA-256 of a victim's weights and of the images drawn for its data set, if any were drawn.

    Returns:
        The digest in hex; None if there is no such victim.
    """
    from invmask.victims.victim import weights_path

    card = _card_of(name, folders)
    if card is None:
        return None
    weights, drawn = _of_file(weights_path(card)), _drawn(card)
    return _digest(weights, *map(_of_file, drawn)) if drawn else weights


def _card_of(name: str, folders: list[Path]) -> Path | None:
    from invmask.victims.victim import find_cards

    return find_cards(folders).get(name)


def _drawn(card: Path | None) -> tuple[Path, ...]:
    """The image files of the victim's data set that may be drawn again."""
    from invmask.data.embedded import drawn_files
    from invmask.victims.victim import read_card

    if card is None:
        return ()
    # Errors in a card or its data set are reported when these are loaded.
    with contextlib.suppress(UserError, OSError):
        return drawn_files(read_card(card).dataset)
    return ()


def _of_file(path: Path) -> str:
    return _of_bytes(path, *stamp(path))


@lru_cache(maxsize=64)
def _of_bytes(path: Path, changed: int, size: int) -> str:  # noqa: ARG001  (they tell a changed file from a known one)
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def _digest(*parts: Any) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()
