"""Bring in a model of one's own, in any process: the work behind a request of the page Own model."""

import shutil
from pathlib import Path

from filelock import Timeout

from invmask.errors import UserError, in_brief
from invmask.models.weight_files import EntryNeeded
from invmask.runs.store.bringings import Bringing, Status
from invmask.runs.work.advance import Outcome
from invmask.victims.bring_files import bring_files

AT_WORK = "at_work"


def bring_model(path: Path) -> Outcome:
    """Do what the request in the directory `path` asks for. Errors are stored there as sentences."""
    bringing = Bringing(path)
    if not bringing.has_work():
        return Outcome.IDLE
    try:
        with bringing.worked_on():
            if bringing.has_work():
                bringing.end(_once(bringing))
    except Timeout:
        return Outcome.BUSY
    except FileNotFoundError:  # deleted meanwhile
        return Outcome.IDLE
    return Outcome.IDLE


def _once(bringing: Bringing) -> Status:
    """Bring it in, unless a worker was lost over it before."""
    mark = bringing.path / AT_WORK
    if mark.exists():
        mark.unlink()
        return Status(message="The worker was killed while it read this model, perhaps for want of memory; free some.")
    mark.touch()
    try:
        return _status(bringing)
    finally:
        mark.unlink(missing_ok=True)


def _status(bringing: Bringing) -> Status:
    try:
        victim = bring_files(bringing.request(), bringing.path.parents[1])
    except EntryNeeded as error:
        return Status(message=str(error), entries=error.entries)
    except UserError as error:
        return Status(message=str(error))
    except Exception as error:
        return Status(message=f"The model could not be brought in. {in_brief(error)}.")
    # What was uploaded is in the victim now.
    for uploaded in ("weights", "images"):
        shutil.rmtree(bringing.path / uploaded, ignore_errors=True)
    return Status(victim=victim.card.name)
