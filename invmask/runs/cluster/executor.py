"""The executor advances runs: its thread watches the requests for runs and hands out work to Dask workers.

Any process may request something of a run, and an executor does it. Several executors may share one home; the run's
lock decides which of them works on it.
"""

import atexit
import threading
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from invmask import settings
from invmask.errors import UserError, in_brief
from invmask.runs.cluster.capacity import Need, Room, threads_taken
from invmask.runs.cluster.requests_with_work import Request, due_requests
from invmask.runs.cluster.runs_with_work import TELLING, Kind, Lookout
from invmask.runs.cluster.trouble import is_loss, sentence_of
from invmask.runs.cluster.watched import Watched
from invmask.runs.store.all_runs import RunStore
from invmask.runs.store.goals import mark, unmark
from invmask.runs.store.run import Run
from invmask.runs.store.spec import RunSpec
from invmask.runs.store.trainings import Training, TrainingStore
from invmask.runs.work import cut_curves, evidence
from invmask.victims.small_victim import SmallVictim

if TYPE_CHECKING:
    from distributed import Future

    from invmask.runs.cluster.workers import Cluster

# A unit of work is short, so that many runs share a few workers fairly.
UNIT_ROUNDS = 16
UNIT_SECONDS = 2.0
# Longest time before a request from another process is seen.
WATCH_SECONDS = 0.2
# Longest time before the end of a unit is seen.
ASK_SECONDS = 0.01
# Wait before a run that another process holds, or whose worker was lost, is tried again.
RETRY_SECONDS = 1.0
# Wait before workers that did not start are started again; doubled each time, up to the second number.
RESTART_SECONDS = (1.0, 30.0)
# A request may change while a unit begins, so one or two units in a row may find nothing to do without an error.
MOST_UNSEEN = 3


@dataclass
class _Hands:
    """State that only the watching thread uses."""

    lookout: Lookout
    cluster: "Cluster | None" = None
    watched: dict[tuple[str, Kind], Watched] = field(default_factory=dict)
    turn: int = 0
    prepared: "Future | None" = None
    loaded: RunSpec | None = None
    not_before: float = 0.0
    patience: float = RESTART_SECONDS[0]


class Executor:
    """Advances every run of a store as long as it lives. Its methods only store requests and return at once.

    Args:
        store: the runs to advance.
        workers: maximum number of processes, each started when a unit needs it. If not given, the machine's setting;
            then no unit begins while the units under way use all cores.
        threads: threads of each process, unless a run sets its own number; the machine's setting if not given.
        scheduler: address of an existing Dask scheduler; the machine's setting if not given. Without an address, a
            cluster of child processes is started.

    Raises:
        UserError: the machine's settings are wrong.
    """

    def __init__(
        self,
        store: RunStore,
        workers: int | None = None,
        threads: int | None = None,
        scheduler: str | None = None,
    ) -> None:
        self.store = store
        asked_for = workers or settings.workers_asked_for()
        self.workers = asked_for or settings.workers()
        self._room = Room(self.workers, None if asked_for else settings.cores())
        self.threads = threads or settings.threads()
        self.scheduler = scheduler or settings.scheduler()
        self._problem: str | None = None
        self._wake, self._closing = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._hands = _Hands(Lookout(store))
        self._awaited: RunSpec | None = None
        self._queue: tuple[str, ...] = ()
        self._prepared: set[str] = set()

    @property
    def problem(self) -> str | None:
        """Why no run is being advanced, as a sentence; None if all is well. A run stores its own problems."""
        return self._problem

    @property
    def queue(self) -> tuple[str, ...]:
        """The ids of the runs that wait for a worker, the next one first."""
        return self._queue

    @property
    def places(self) -> int:
        """How many runs can be advanced at once: the number of workers, here or at an existing scheduler."""
        cluster = self._hands.cluster
        return self.workers if cluster is None or self.scheduler is None else cluster.places

    def start(self) -> "Executor":
        """Begin to watch, and start the workers in the background. Returns at once; a second call does nothing."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._watch, name="invmask-executor", daemon=True)
            self._thread.start()
            atexit.register(self.close)
        return self

    def create(self, spec: RunSpec, owner: str | None = None) -> Run:
        """Create a run that waits for requests. It gets the threads that other runs leave free, but at least one.

        The run keeps this number of threads for good, because its records repeat exactly with the same number only.
        """
        if spec.device == "cpu" and self.scheduler is None:
            # Finished runs have no mark, so a store of hundreds of runs costs no more.
            marked = self.store.marked()
            left = settings.threads(taken=threads_taken(run for run in self.store.runs() if run.id in marked))
            spec = replace(spec, threads=min(spec.threads, left))
        return self.store.create(spec, owner=owner)

    def prepare(self, spec: RunSpec) -> None:
        """Let a worker load the victim of a run that may be requested soon, unless this was done before."""
        if self.scheduler is None and spec.victim not in self._prepared:
            self._prepared.add(spec.victim)
            self._awaited = spec
            self._wake.set()

    def advance(self, run_id: str, rounds: int = 1, stage: str | None = None) -> None:
        """Take `rounds` more rounds, then pause; see `RunStore.advance`."""
        self.store.advance(run_id, rounds, stage)
        self._wake.set()

    def go_on(self, run_id: str) -> None:
        """Continue to the end, after a pause, a stop or a failure."""
        self.store.go_on(run_id)
        self._wake.set()

    resume = go_on

    def pause(self, run_id: str) -> None:
        """Pause after the current round."""
        self.store.pause(run_id)

    def stop(self, run_id: str) -> None:
        """End the run after the current round, and measure its views."""
        self.store.stop(run_id)
        self._wake.set()

    def gather_evidence(self, run_id: str, round_taken: int) -> None:
        """Request the evidence about the run's channels; see `evidence.ask`."""
        evidence.ask(self.store.run(run_id), round_taken)
        self._wake.set()

    def measure_cuts(self, run_id: str, round_taken: int) -> None:
        """Request the measurement of hard cuts of the run's masks; see `cut_curves.ERRAND`."""
        cut_curves.ERRAND.ask(self.store.run(run_id), round_taken)
        self._wake.set()

    def train(self, spec: SmallVictim, keep: bool = True) -> Training:
        """Request a small victim; see `TrainingStore.request`."""
        training = TrainingStore(self.store.folder.parent).request(spec, keep)
        self._wake.set()
        return training

    def delete(self, run_id: str) -> None:
        """Delete the run as soon as the current round is over; see `RunStore.delete`."""
        self.store.delete(run_id)

    def close(self) -> None:
        """Stop the watching thread and the workers. Runs keep their state and can be resumed. May be called twice."""
        atexit.unregister(self.close)
        self._closing.set()
        self._wake.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout=30)

    def _watch(self) -> None:
        hands = self._hands
        try:
            while not self._closing.is_set():
                self._wake.clear()
                try:
                    self._look(hands)
                except Exception as error:  # the thread must survive any error
                    self._trouble(hands, sentence_of(error))
                self._rest(hands)
        finally:
            if hands.cluster is not None:
                hands.cluster.close()

    def _rest(self, hands: _Hands) -> None:
        """Wait for a request of this process, the end of a unit, or `WATCH_SECONDS`."""
        # Polling is cheap. A callback of Dask would also be called while the interpreter shuts down, and fail there.
        until = time.monotonic() + WATCH_SECONDS
        while time.monotonic() < until and not self._wake.wait(ASK_SECONDS):
            if any(watched.future is not None and watched.future.done() for watched in hands.watched.values()):
                return

    def _look(self, hands: _Hands) -> None:
        """Collect finished units, and hand out new ones."""
        now = time.monotonic()
        if now < hands.not_before:
            return
        if hands.cluster is None:
            from invmask.runs.cluster.workers import Cluster

            hands.cluster = Cluster(1, self.threads, self.scheduler)
        problem = hands.cluster.problem()
        if problem is not None:
            self._trouble(hands, problem)
            return
        due: list[tuple[Run | Request, Kind, Watched]] = []
        due += due_requests(self.store.folder.parent, hands.watched, lambda each: self._collect(hands, each, now), now)
        for run in hands.lookout.runs({run_id for run_id, kind in hands.watched if kind in TELLING}):
            found = self._due(hands, run, now)
            if found is None:
                for kind in TELLING:
                    hands.watched.pop((run.id, kind), None)
            else:
                due += found
        self._hand_out(hands, hands.cluster, due)
        self._prepare(hands, hands.cluster, busy=bool(due))
        self._problem = next((each.problem for each in hands.watched.values() if each.problem), None)

    def _prepare(self, hands: _Hands, cluster: "Cluster", busy: bool) -> None:
        """Load the awaited run's victim, then take a round: two units, as a run requested meanwhile waits for one."""
        from invmask.runs.work.unit import prepare_unit

        awaited = self._awaited
        if awaited is None or (hands.prepared is not None and not hands.prepared.done()):
            return
        take_round = hands.loaded is awaited
        # A run under way warms the worker up itself.
        if busy and not take_round:
            return
        if not busy:
            # Keep the future, because Dask cancels a task without one. Its result shows when the run is requested.
            spec, home = awaited.as_json(), str(self.store.folder.parent)
            hands.prepared = cluster.client.submit(prepare_unit, spec, home, take_round, pure=False)
            hands.loaded = awaited
        if take_round and self._awaited is awaited:
            self._awaited = None

    def _due(self, hands: _Hands, run: Run, now: float) -> list[tuple[Run, Kind, Watched]] | None:
        """The work that is due for one run; None if the run need not be checked again before it is marked."""
        if not run.path.is_dir():
            unmark(run.path)
            return None
        watched: dict[Kind, Watched] = {kind: hands.watched.setdefault((run.id, kind), Watched()) for kind in TELLING}
        due: list[tuple[Run, Kind, Watched]] = []
        for kind, each in watched.items():
            self._collect(hands, each, now)
            if each.future is not None or now < each.not_before:
                continue
            if not self._has_work(hands, run, kind, each):
                each.unseen, each.problem = 0, None
            elif each.unseen >= MOST_UNSEEN:
                each.unseen, each.not_before = 0, now + RETRY_SECONDS
                each.problem = f"A worker does not find {run.path}. Every worker has to see that folder."
            else:
                due.append((run, kind, each))
        if any(each.idle is None for each in watched.values()):
            return due
        unmark(run.path)
        if any(self._has_work(hands, run, kind, each) for kind, each in watched.items()):
            # A request arrived just as the mark was removed.
            mark(run.path)
            return due
        return None

    def _hand_out(self, hands: _Hands, cluster: "Cluster", due: list[tuple[Run | Request, Kind, Watched]]) -> None:
        """Begin as many units as there is room for: the longest waiting first, and new runs from the oldest on."""
        under_way = [watched.need for watched in hands.watched.values() if watched.future is not None]
        waiting: list[str] = []
        for run, kind, watched in sorted(due, key=lambda each: each[2].turn):
            need = Need.of(run)
            # The cores of an existing scheduler's workers are not known here; Dask queues the units itself.
            if self.scheduler is not None or self._room.has(need, under_way):
                under_way.append(need)
                hands.turn += 1
                watched.need, watched.turn = need, hands.turn
                watched.future = self._submit(cluster, run, kind)
            elif kind == "rounds":
                waiting.append(run.id)
        self._queue = tuple(waiting)
        if self.scheduler is None and len(under_way) > 1:
            cluster.grow(len(under_way))

    def _submit(self, cluster: "Cluster", run: Run | Request, kind: Kind) -> "Future":
        from invmask.runs.work import unit as units
        from invmask.runs.work.unit import unit

        if kind != "rounds":
            work = getattr(units, f"{kind}_unit")
            return cluster.client.submit(work, str(run.path), UNIT_SECONDS, pure=False)
        return cluster.client.submit(unit, str(run.path), UNIT_ROUNDS, UNIT_SECONDS, pure=False)

    def _collect(self, hands: _Hands, watched: Watched, now: float) -> None:
        if watched.future is None or not watched.future.done():
            return
        future, watched.future = watched.future, None
        outcome = "busy"
        try:
            outcome = future.result(timeout=5)
            hands.patience = RESTART_SECONDS[0]
            watched.unseen = watched.unseen + 1 if outcome == "idle" else 0
            if outcome != "idle":
                watched.problem = None
        except Exception as error:
            # A run itself counts how often its worker was lost. Any other error has to be shown.
            if not is_loss(error):
                watched.problem = f"A worker cannot do its work ({in_brief(error)})."
        watched.not_before = now + RETRY_SECONDS if outcome == "busy" else 0.0
        watched.idle = None

    def _has_work(self, hands: _Hands, run: Run, kind: Kind, watched: Watched) -> bool:
        signature = hands.lookout.signature(run, kind)
        if signature == watched.idle:
            return False
        try:
            work = {"rounds": Run.has_work, "evidence": evidence.has_work, "cuts": cut_curves.has_work}[kind](run)
        except UserError:  # damaged; the list of runs shows this
            work = False
        watched.idle = None if work else signature
        return work

    def _trouble(self, hands: _Hands, problem: str) -> None:
        """Report the problem, release the workers, and try again a little later."""
        self._problem = problem
        hands.not_before = time.monotonic() + hands.patience
        hands.patience = min(2 * hands.patience, RESTART_SECONDS[1])
        hands.watched.clear()
        hands.lookout = Lookout(self.store)
        if hands.cluster is not None:
            hands.cluster.close()
            hands.cluster = None
