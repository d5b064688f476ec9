"""Training a small victim, some epochs at a time, in any process. The weights do not depend on how it is divided."""

import time
from contextlib import suppress
from pathlib import Path

import torch
from filelock import Timeout
from torch import nn

from invmask import settings
from invmask.attacks.base import EpochReport, Progress
from invmask.errors import UserError, in_brief
from invmask.runs.store import files
from invmask.runs.store.trainings import STATUS, Epoch, Training
from invmask.runs.work.advance import MOST_LOSSES, Outcome
from invmask.victims.make import make_victim
from invmask.victims.small_victim import THREADS, sets
from invmask.victims.victim import load_victim, measure, save_victim

AT_WORK = "at_work.json"


class _EnoughForNow(Exception):  # noqa: N818  (no error)
    """Ends a unit of work after an epoch whose checkpoint is on disk."""


def train_small_victim(path: Path, seconds: float | None = None, patience: float = 0.0) -> Outcome:
    """Train the victim in the directory `path` for about `seconds`, at least one epoch. Errors are stored there.

    Args:
        seconds: None to train it to its end.
        patience: seconds to wait for another process that trains it, before giving up as `BUSY`.
    """
    training = Training(path)
    if not training.has_work():
        return Outcome.IDLE
    try:
        files.lock_file(path, "").parent.mkdir(exist_ok=True)
        with training.lock().acquire(timeout=patience):
            return _work(training, seconds) if training.has_work() else Outcome.IDLE
    except Timeout:
        return Outcome.BUSY


def _work(training: Training, seconds: float | None) -> Outcome:
    mark = training.path / AT_WORK
    try:
        losses = _losses(mark)
        if losses >= MOST_LOSSES:
            raise UserError(f"The worker was killed {losses} times, perhaps for want of memory; free some.")
        files.write_json(mark, {"losses": losses + 1})
        with suppress(_EnoughForNow):
            if not training.is_made():
                _train(training, seconds)
            _keep(training)
    except Exception as error:
        if not training.exists():
            return Outcome.IDLE
        message = str(error) if isinstance(error, UserError) else f"{in_brief(error)}."
        files.write_json(training.path / STATUS, {"message": f"The victim could not be trained. {message}"})
        return Outcome.FAILED
    finally:
        mark.unlink(missing_ok=True)
    return Outcome.MORE if training.has_work() else Outcome.IDLE


def _losses(mark: Path) -> int:
    with suppress(OSError, ValueError, TypeError):
        return int((files.read_json(mark) or {}).get("losses", 0))
    return 0


def _train(training: Training, seconds: float | None) -> None:
    spec, began = training.spec(), time.monotonic()
    torch.set_num_threads(THREADS)
    chosen, attack, targets = sets(spec), spec.plan_attack(), spec.plan.targets
    known = list(training.epochs())
    epoch_began = time.monotonic()

    def measured(model: nn.Module, epoch: int) -> None:
        taken = time.monotonic() - epoch_began
        found = measure(model, chosen.test, attack, targets)
        # An epoch that a killed worker has measured already is taken again.
        known[:] = [*(each for each in known if each.epoch < epoch), Epoch(epoch, found, round(taken, 2))]
        training.write_epochs(known)

    def finished(report: EpochReport) -> None:
        nonlocal epoch_began
        late = seconds is not None and time.monotonic() - began >= seconds
        if report.epoch < spec.epochs and (late or not training.is_wanted()):
            raise _EnoughForNow
        epoch_began = time.monotonic()

    watched = Progress(on_model=measured, on_epoch=finished)
    make_victim(spec.plan, spec.stages, settings.data_folder(), training.path, watched=watched, images=chosen)


def _keep(training: Training) -> None:
    """Copy the finished victim to the home's victims, if it shall be there."""
    if training.is_made() and training.is_kept() and not training.is_stored():
        victim = load_victim(training.id, [training.path])
        save_victim(training.path.parents[1] / "victims", victim.card, victim.model, victim.card.make_attack())
