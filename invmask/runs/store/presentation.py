"""What a presenter looks at: a small file in the home, which the dashboards of all who follow read.

The file holds the hash of the presenter's key (see `owner`). Whoever follows knows the presentation's id alone.
"""

import hmac
import os
import re
import secrets
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from invmask.errors import UserError
from invmask.runs.store import files
from invmask.runs.store.owner import hashed

FOLDER = "presentations"
AWAY_SECONDS = 20.0
"""A presenter who has not been heard of for so long is away."""
KEPT_SECONDS = 86_400.0
MOST = 200
"""So many presentations are kept, each for so long after its presenter was last heard of."""
_ID = re.compile(r"[a-km-np-z2-9]{10}", re.ASCII)
_LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"
"""Without letters and digits that look alike, because an id may be read out."""


@dataclass(frozen=True)
class Shown:
    """What a presenter looks at: the page's title, and what its address holds, with the page's own choices."""

    page: str
    query: Mapping[str, str]


@dataclass(frozen=True)
class Presentation:
    """A presentation as its file holds it.

    Attributes:
        shown: what the presenter looks at.
        owner: the hash of the presenter's key.
        heard: when the presenter was last heard of, in seconds since 1970.
    """

    shown: Shown
    owner: str
    heard: float

    def is_of(self, keys: Collection[str]) -> bool:
        """Whether one of these keys is the presenter's."""
        return any(hmac.compare_digest(self.owner.encode(), hashed(key).encode()) for key in keys)

    def away(self, now: float | None = None) -> bool:
        """Whether the presenter has not been heard of for a while."""
        return (time.time() if now is None else now) - self.heard > AWAY_SECONDS


def is_id(text: str) -> bool:
    """Whether it has the form of a presentation's id."""
    return _ID.fullmatch(text) is not None


def begin(home: Path, key: str, shown: Shown) -> str:
    """Begin a presentation; returns its id, too long to be guessed. Old presentations are removed.

    Raises:
        UserError: too many presentations go on.
        OSError: the home cannot be written to.
    """
    folder = home / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    if len(_remove_old(folder)) >= MOST:
        raise UserError(f"This server already has {MOST} presentations, the most that it keeps. End one first.")
    name = "".join(secrets.choice(_LETTERS) for _ in range(10))
    _write(_path(home, name), hashed(key), shown)
    return name


def show(home: Path, name: str, key: str, shown: Shown) -> None:
    """Store what the presenter looks at now.

    Raises:
        UserError: there is no such presentation, or somebody else presents.
        OSError: the home cannot be written to.
    """
    _write(_path(home, name), _of(home, name, key).owner, shown)


def hear(home: Path, name: str) -> None:
    """Note that the presenter is there."""
    os.utime(_path(home, name))


def end(home: Path, name: str, key: str) -> None:
    """End a presentation. Does nothing if it has ended.

    Raises:
        UserError: somebody else presents.
    """
    if read(home, name) is not None:
        _of(home, name, key)
        _path(home, name).unlink(missing_ok=True)


def read(home: Path, name: str) -> Presentation | None:
    """A presentation by its id; None if there is none, or if its file is damaged."""
    if not is_id(name):
        return None
    try:
        path = _path(home, name)
        heard, held = path.stat().st_mtime, files.read_json(path)
        if held is None:
            return None
        query = {str(word): str(value) for word, value in held["query"].items()}
        return Presentation(Shown(str(held["page"]), query), str(held["sha256"]), heard)
    except (OSError, KeyError, TypeError, ValueError, AttributeError):
        return None


def _of(home: Path, name: str, key: str) -> Presentation:
    found = read(home, name)
    if found is None:
        raise UserError("This presentation has ended. Begin another with Class link.")
    if not found.is_of([key]):
        raise UserError("Somebody else presents here. Begin a presentation of your own with Class link.")
    return found


def _write(path: Path, owner: str, shown: Shown) -> None:
    files.write_json(path, {"sha256": owner, "page": shown.page, "query": dict(shown.query)})


def _path(home: Path, name: str) -> Path:
    return home / FOLDER / f"{name}.json"


def _remove_old(folder: Path) -> list[Path]:
    """Remove presentations that ended long ago; returns the others."""
    kept = []
    for path in folder.glob("*.json"):
        try:
            old = time.time() - path.stat().st_mtime > KEPT_SECONDS
        except OSError:
            continue
        if old:
            path.unlink(missing_ok=True)
        else:
            kept.append(path)
    return kept
