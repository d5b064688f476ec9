"""Requests to bring in a model of one's own, one directory each, with the files that were uploaded."""

import contextlib
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from invmask import settings
from invmask.errors import UserError
from invmask.runs.store import files
from invmask.runs.store.goals import WANTED, mark
from invmask.victims.bring_files import Request

BRINGING_ID = re.compile(r"bring-[0-9a-f]{16}")
REQUEST, STATUS, LOCK = "request.json", "status.json", "bring.lock"


@dataclass(frozen=True)
class Status:
    """How a request ended.

    Attributes:
        victim: the victim's name; None if it could not be brought in.
        message: why not, in a sentence; empty if all is well.
        entries: the networks in the file, if one has to be chosen.
    """

    victim: str | None = None
    message: str = ""
    entries: tuple[str, ...] = ()


@dataclass(frozen=True)
class Bringing:
    """One request's directory."""

    path: Path

    @property
    def id(self) -> str:
        """Its name, which the address of the page holds."""
        return self.path.name

    def exists(self) -> bool:
        """Whether it is complete and has not been deleted."""
        return (self.path / REQUEST).is_file()

    def request(self) -> Request:
        """What is brought in.

        Raises:
            UserError: it is damaged.
        """
        try:
            return Request.from_json(files.read_json(self.path / REQUEST))
        except (OSError, ValueError) as error:
            raise UserError("This request is damaged; bring the model in again.") from error

    def ask(self, request: Request) -> None:
        """Ask for it, or ask again with other choices."""
        (self.path / STATUS).unlink(missing_ok=True)
        files.write_json(self.path / REQUEST, request.as_json())
        mark(self.path)

    def status(self) -> Status | None:
        """How it ended; None while it is under way."""
        with contextlib.suppress(OSError, ValueError, TypeError):
            found = files.read_json(self.path / STATUS)
            return None if found is None else Status(**{**found, "entries": tuple(found.get("entries", ()))})
        return Status(message="This request is damaged; bring the model in again.")

    def end(self, status: Status) -> None:
        """Note how it ended."""
        values: dict[str, Any] = {"victim": status.victim, "message": status.message, "entries": list(status.entries)}
        files.write_json(self.path / STATUS, values)

    def has_work(self) -> bool:
        """Whether it has not ended."""
        return self.exists() and self.status() is None

    @contextmanager
    def worked_on(self) -> Iterator[None]:
        """Hold its lock. Raises filelock.Timeout if another process works on it."""
        lock = files.lock_file(self.path, LOCK)
        lock.parent.mkdir(exist_ok=True)
        with FileLock(lock, timeout=0.1):
            yield


@dataclass(frozen=True)
class BringingStore:
    """All requests of a home."""

    home: Path

    @property
    def folder(self) -> Path:
        """The folder of the requests."""
        return self.home / "bringings"

    def bringing(self, name: str) -> Bringing | None:
        """The request of that name, which may come from anywhere; None if there is none."""
        found = Bringing(self.folder / name) if BRINGING_ID.fullmatch(name) else None
        return found if found is not None and found.exists() else None

    def new(self) -> Bringing:
        """A directory for a new request, in which files can be put before it is asked for."""
        path = self.folder / f"bring-{secrets.token_hex(8)}"
        path.mkdir(parents=True)
        return Bringing(path)

    def marked(self) -> list[Bringing]:
        """Those that may have work."""
        try:
            names = sorted(path.name for path in (self.folder / WANTED).iterdir())
        except FileNotFoundError:
            return []
        return [Bringing(self.folder / name) for name in names if BRINGING_ID.fullmatch(name)]

    def delete(self, name: str) -> None:
        """Delete a request and its files."""
        if (found := self.bringing(name)) is not None:
            shutil.rmtree(found.path, ignore_errors=True)


def home_bringings() -> BringingStore:
    """The requests of this machine's home."""
    return BringingStore(settings.home())
