"""Trainings of small victims, one directory each, named as the victim is, for any number of readers.

The directory holds the specification, the measures after each epoch, the checkpoint, and finally the victim's own
files. A victim that is kept is copied into the home's folder of victims, where all pages find it.
"""

import contextlib
import re
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from invmask import settings
from invmask.errors import UserError
from invmask.measure.metrics import Measures
from invmask.runs.store import files
from invmask.runs.store.goals import WANTED, mark
from invmask.victims.small_victim import SMALL, SmallVictim
from invmask.victims.victim import find_cards, read_card

TRAINING_ID = re.compile(r"lab-[a-z0-9]{1,20}-[a-z0-9]{1,20}-[0-9a-f]{10}")
SPEC, EPOCHS, REQUEST, STATUS, KEPT, LOCK = (
    "spec.json", "epochs.json", "request.json", "status.json", "kept.json", "training.lock"
)  # fmt: skip
LOCK_SECONDS = 10.0


@dataclass(frozen=True)
class Epoch:
    """The victim after one epoch.

    Attributes:
        epoch: counted from 1.
        measures: ACC, ASR and RA on the embedded test images.
        seconds: how long the epoch took, without the measurement.
    """

    epoch: int
    measures: Measures
    seconds: float


@dataclass(frozen=True)
class Training:
    """One training's directory."""

    path: Path

    @property
    def id(self) -> str:
        """The name of the victim that it makes."""
        return self.path.name

    def exists(self) -> bool:
        """Whether it has not been deleted."""
        return (self.path / SPEC).is_file()

    def spec(self) -> SmallVictim:
        """What is trained.

        Raises:
            UserError: the directory is damaged or was deleted.
        """
        try:
            values = files.read_json(self.path / SPEC)
        except (OSError, ValueError) as error:
            raise _damaged(self.id) from error
        return SmallVictim.from_json(values)

    def epochs(self) -> tuple[Epoch, ...]:
        """The finished epochs in order."""
        try:
            values = files.read_json(self.path / EPOCHS)
            rows = [] if values is None else values["epochs"]
            return tuple(Epoch(int(row["epoch"]), Measures(**row["measures"]), float(row["seconds"])) for row in rows)
        except (OSError, ValueError, KeyError, TypeError):
            return ()

    def write_epochs(self, epochs: Sequence[Epoch]) -> None:
        """Replace the finished epochs."""
        files.write_json(self.path / EPOCHS, {"epochs": [asdict(epoch) for epoch in epochs]})

    def is_made(self) -> bool:
        """Whether the victim is finished, and stored in this directory."""
        return (self.path / f"{self.id}.json").is_file()

    def is_kept(self) -> bool:
        """Whether the victim shall be in the home's folder of victims."""
        return (self.path / KEPT).is_file()

    def is_stored(self) -> bool:
        """Whether it is there."""
        return (self.path.parents[1] / "victims" / f"{self.id}.json").is_file()

    def is_wanted(self) -> bool:
        """Whether it shall go on to its end."""
        with contextlib.suppress(OSError, ValueError):
            return bool((files.read_json(self.path / REQUEST) or {}).get("go"))
        return False

    def problem(self) -> str | None:
        """Why it failed, as a sentence; None if all is well."""
        with contextlib.suppress(OSError, ValueError):
            return (files.read_json(self.path / STATUS) or {}).get("message")
        return None

    def has_work(self) -> bool:
        """Whether something is requested that is not done."""
        if not self.exists() or not self.is_wanted() or self.problem() is not None:
            return False
        return not self.is_made() or (self.is_kept() and not self.is_stored())

    def lock(self) -> FileLock:
        """Held by the process that trains."""
        return FileLock(files.lock_file(self.path, LOCK))


@dataclass(frozen=True)
class TrainingStore:
    """All trainings of a home."""

    home: Path

    @property
    def folder(self) -> Path:
        """The folder of the trainings."""
        return self.home / "trainings"

    def training(self, name: str) -> Training | None:
        """The training of that name; None if there is none. The name may come from anywhere."""
        found = Training(self.folder / name) if TRAINING_ID.fullmatch(name) else None
        return found if found is not None and found.exists() else None

    def trainings(self) -> list[Training]:
        """Every training, latest request first."""
        try:
            found = [Training(path) for path in self.folder.iterdir() if TRAINING_ID.fullmatch(path.name)]
        except FileNotFoundError:
            return []
        return sorted((each for each in found if each.exists()), key=_asked, reverse=True)

    def marked(self) -> list[Training]:
        """Those that may have work; the cost does not grow with the number of trainings."""
        try:
            names = sorted(path.name for path in (self.folder / WANTED).iterdir() if TRAINING_ID.fullmatch(path.name))
        except FileNotFoundError:
            return []
        return sorted((Training(self.folder / name) for name in names), key=_asked)

    def request(self, spec: SmallVictim, keep: bool = True) -> Training:
        """Ask for a victim. One that is there already is not trained again, and an earlier failure is cleared.

        Args:
            keep: whether the victim shall be listed beside the others.

        Raises:
            UserError: the specification is not valid.
        """
        spec.check()
        training = Training(self.folder / spec.name)
        training.path.mkdir(parents=True, exist_ok=True)
        if not training.exists():
            files.write_json(training.path / SPEC, spec.as_json())
        if keep:
            files.write_json(training.path / KEPT, {})
        (training.path / STATUS).unlink(missing_ok=True)
        files.write_json(training.path / REQUEST, {"go": True})
        mark(training.path)
        return training

    def stop(self, name: str) -> None:
        """Ask a training to stop after the epoch under way. It can be requested again, and then goes on."""
        if (training := self.training(name)) is not None:
            files.write_json(training.path / REQUEST, {"go": False})

    def delete(self, name: str) -> None:
        """Delete a training, and its victim if it is kept.

        Raises:
            UserError: a worker is still busy with it.
        """
        training = self.training(name)
        if training is None:
            return
        self.stop(name)
        (self.folder / files.LOCKS).mkdir(exist_ok=True)
        try:
            with training.lock().acquire(timeout=LOCK_SECONDS):
                _delete_victim(self.home / "victims", name)
                shutil.rmtree(training.path, ignore_errors=True)
        except Timeout as error:
            raise UserError(f"{name} is still busy with an epoch; try again in a moment.") from error


def lab_victims(home: Path) -> dict[str, SmallVictim]:
    """The specifications of the home's victims that were made in the lab, by name."""
    found = {}
    for name, path in find_cards([home / "victims"]).items():
        with contextlib.suppress(UserError):
            values = read_card(path).training.get(SMALL)
            if values is not None:
                found[name] = SmallVictim.from_json(values)
    return found


def home_trainings() -> TrainingStore:
    """The trainings of this machine's home."""
    return TrainingStore(settings.home())


def _delete_victim(folder: Path, name: str) -> None:
    """Delete a victim's files, its card first, so that no card is ever without its weights."""
    for path in (folder / f"{name}.json", *folder.glob(f"{name}.*safetensors")):
        path.unlink(missing_ok=True)


def _asked(training: Training) -> float:
    with contextlib.suppress(OSError):
        return (training.path / REQUEST).stat().st_mtime
    return 0.0


def _damaged(name: str) -> UserError:
    return UserError(f"The training {name:.60} is damaged; delete it and train it again.")
