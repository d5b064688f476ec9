"""Export jobs: slow exports, each made by its own process, with a status in files that every reader can find.

A job is a folder ``exports/<id>`` in the run's directory. It holds the request, the status and the results. The id is
derived from the request, so an equal request finds the existing results, unless what they depend on has changed. The
jobs of all runs of a home wait in one queue (`queue`).
"""

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from invmask import __version__
from invmask.errors import UserError
from invmask.exports import queue
from invmask.runs.cluster.child import PARENT_VARIABLE
from invmask.runs.store import files, living_process
from invmask.runs.store.run import Run
from invmask.runs.store.staleness import victim_digest
from invmask.runs.work import cut_curves, evidence
from invmask.settings import victim_folders

FOLDER = "exports"
REQUEST, STATUS, LOG, RESTS_ON = "request.json", "status.json", "log.txt", "rests_on.json"
MEASURED = (evidence.FOLDER, cut_curves.ERRAND.folder)
MOST_KEPT = 12
STARTING = "Starting"
PACKAGE_PARENT = Path(__file__).resolve().parents[2]

Kind = Literal["figures", "report", "replay", "gif", "model"]


@dataclass(frozen=True)
class Request:
    """A request for an export of a run at a round.

    Attributes:
        formats: formats of the figures (`archive.FORMATS`), or of the model (`safetensors`, `onnx`, `mask`).
        figures: names of figures in the book; None for all.
        view, mask: for a model, the view, and the name of masks made by hand (None: the run's own masks).
        stamp: tells masks from later masks of the same name.
        width_mm: width of the figures in print, one of `figures.paper.WIDTHS_MM`.
        sample, channel, draw: the choices on Flip and Neurons that figures and report show, see `run_records.Picks`.
    """

    kind: Kind
    round: int
    formats: tuple[str, ...] = ()
    figures: tuple[str, ...] | None = None
    view: str = "pruned"
    mask: str | None = None
    stamp: int = 0
    sample: str | None = None
    channel: str | None = None
    draw: int = 0
    width_mm: int = 88

    @property
    def id(self) -> str:
        digest = hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()
        return f"{self.kind}-{digest[:12]}"

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Request":
        """Rebuild it from the result of `asdict`. Raises TypeError or KeyError for any other values."""
        figures = values["figures"]
        return cls(**{**values, "formats": tuple(values["formats"]), "figures": figures and tuple(figures)})


@dataclass(frozen=True)
class JobStatus:
    """The status of a job.

    Attributes:
        state: `waiting` in the queue, `working`, `done` or `failed`.
        done, total, doing: finished steps, all steps, and the current step in words.
        files: names of the finished files in the job's folder.
        notes: sentences about the result: what could not be made, whether the model agrees.
        agrees: for a model, whether all its files agree with the masked model; None for other jobs.
        pid, since: the process that works on it, and when the process began (`living_process.began`).
    """

    state: Literal["waiting", "working", "done", "failed"]
    done: int = 0
    total: int = 1
    doing: str = ""
    files: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    agrees: bool | None = None
    pid: int = 0
    since: float = 0.0

    @classmethod
    def working(cls, done: int = 0, total: int = 1, doing: str = "", pid: int | None = None) -> "JobStatus":
        """The status of a job on which process `pid` works; None for this process."""
        pid = os.getpid() if pid is None else pid
        return cls("working", done, total, doing, pid=pid, since=living_process.began(pid))


INTERRUPTED = JobStatus("failed", notes=("It was interrupted before it was finished; make it again.",))
UNDER_WAY = ("waiting", "working")


def folder_of(run: Run, request: Request) -> Path:
    """The folder of the job's files."""
    return run.path / FOLDER / request.id


def read_status(run: Run, request: Request) -> JobStatus | None:
    """The status of the job; None if it was never requested. A job that lost its process or its ticket has failed."""
    folder = folder_of(run, request)
    status = _status_in(folder)
    if status is not None and status.state == "waiting" and place(run, request) is None:
        # It may have begun just now, so read the status again.
        status = _status_in(folder)
        if status is not None and status.state == "waiting":
            return INTERRUPTED
    return status


def place(run: Run, request: Request) -> int | None:
    """The job's position in the queue, from 1, counting jobs under way; None if it is not in the queue."""
    return queue.place(run.home, folder_of(run, request), _standing)


def tend(run: Run) -> None:
    """Keep the queue going, in case a restart of the server has stopped it."""
    queue.tend(run.home, _standing, _begin)


def _status_in(folder: Path) -> JobStatus | None:
    try:
        values = files.read_json(folder / STATUS)
        if values is None:
            return None
        status = JobStatus(**{**values, "files": tuple(values["files"]), "notes": tuple(values["notes"])})
    except (OSError, ValueError, TypeError, KeyError):
        return JobStatus("failed", notes=("What is stored of this export is damaged; make it again.",))
    if status.state == "working" and not living_process.lives(status.pid, status.since):
        return INTERRUPTED
    if status.state == "done" and not all((folder / name).is_file() for name in status.files):
        return None
    return status


def latest(run: Run, kind: Kind) -> tuple[Request, JobStatus] | None:
    """The latest request of this kind, from any reader, and its status; None if there is none."""
    found = sorted((run.path / FOLDER).glob(f"{kind}-*/{REQUEST}"), key=_changed, reverse=True)
    for path in found:
        try:
            request = Request.from_json(files.read_json(path) or {})
        except (OSError, ValueError, TypeError, KeyError):
            continue
        status = read_status(run, request)
        if request.kind == kind and status is not None:
            return request, status
    return None


def write_status(folder: Path, status: JobStatus) -> None:
    """Store the status of a job."""
    files.write_json(folder / STATUS, asdict(status))


def rests_on(run: Run, request: Request) -> dict[str, Any]:
    """What the result depends on beside the request: the victim, and the measurements so far.

    Raises:
        UserError: the run is damaged or deleted.
    """
    victim = victim_digest(run.spec().victim, victim_folders(run.home))
    basis: dict[str, Any] = {"invmask": __version__, "victim": victim}
    if request.kind == "model":
        return basis
    # A run gets its result at its end, and evidence and cuts on request; curves involve several runs.
    measured = [path for folder in MEASURED for path in run.path.glob(f"{folder}/*") if path.name.startswith("round-")]
    measured += [*run.path.glob(evidence.VICTIM), *run.path.parent.glob("*/result.json")]
    # Curves and captions show the run's progress and why it ended, whatever the round of the export.
    committed = run.committed()
    return basis | {
        "measured": {str(path): path.stat().st_mtime_ns for path in sorted(measured)},
        "rounds": 0 if committed is None else committed.round,
    }


def start(run: Run, request: Request) -> None:
    """Put the job in the queue, unless it is there already, or is done and not stale.

    Raises:
        UserError: no process can be started, or the run's folder cannot be written to.
    """
    status = read_status(run, request)
    folder, basis = folder_of(run, request), rests_on(run, request)
    if status is not None and (status.state in UNDER_WAY or (status.state == "done" and _basis(folder) == basis)):
        # The latest request is the one that is shown.
        with contextlib.suppress(OSError):
            (folder / REQUEST).touch()
        return
    try:
        # Without parents=True, which would create the folder of a run again that was deleted just now.
        folder.parent.mkdir(exist_ok=True)
        folder.mkdir(exist_ok=True)
        _forget_old(folder.parent, folder)
        files.write_json(folder / REQUEST, asdict(request))
        files.write_json(folder / RESTS_ON, basis)
        write_status(folder, JobStatus("waiting"))
        queue.enter(run.home, folder)
        waiting = queue.proceed(run.home, _standing, _begin)
    except OSError as error:
        raise UserError(f"The export cannot be started in {folder}; see whether there is room on the disk.") from error
    if waiting:
        tend(run)


def _standing(folder: Path) -> bool | None:
    """For the queue: True if the job is under way, False if it waits, None if it is finished or deleted."""
    status = _status_in(folder)
    return {"working": True, "waiting": False}.get(status.state) if status is not None else None


def _begin(folder: Path) -> None:
    """Start the job's process. If no process can be started, the job fails and the queue continues."""
    path = os.pathsep.join([str(PACKAGE_PARENT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", PARENT_VARIABLE: str(os.getpid())}
    try:
        with (folder / LOG).open("wb") as log:
            worker = subprocess.Popen(
                [sys.executable, "-m", "invmask.exports.work", str(folder)],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
    except OSError as error:
        if folder.is_dir():
            words = f"No process could be started ({error.strerror or error}); make it again."
            write_status(folder, JobStatus("failed", notes=(words,)))
        return
    status = _status_in(folder)
    if status is not None and status.state == "waiting":
        # The process has not written its own status yet.
        write_status(folder, JobStatus.working(doing=STARTING, pid=worker.pid))
    # A finished process stays in the process list as a zombie until it is waited for.
    threading.Thread(target=worker.wait, daemon=True).start()


def _basis(folder: Path) -> dict[str, Any] | None:
    """What the job's files depended on when they were made; None if it is not known."""
    with contextlib.suppress(OSError, ValueError):
        return files.read_json(folder / RESTS_ON)
    return None


def _forget_old(folder: Path, but: Path) -> None:
    """Delete all but the newest few exports of a run; they can be made again. Jobs in the queue are not deleted."""
    found = sorted((path for path in folder.iterdir() if path.is_dir() and path != but), key=_changed, reverse=True)
    for path in found[MOST_KEPT - 1 :]:
        if _standing(path) is None:
            shutil.rmtree(path, ignore_errors=True)


def _changed(path: Path) -> float:
    with contextlib.suppress(OSError):
        return path.stat().st_mtime
    return 0.0
