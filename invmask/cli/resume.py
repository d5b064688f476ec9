"""`resume`: advance an existing run to its end, in this process."""

from invmask.cli.defend import finish
from invmask.cli.runs import store
from invmask.runs.store.goals import Goal
from invmask.runs.store.records import RunState


def resume(run_id: str, as_json: bool) -> int:
    """Advance a run from its last stored round to its end."""
    runs = store()
    run = runs.run(run_id)
    summary, want = run.summary(), run.want()
    if summary.state is not RunState.FINISHED:
        ends = want.goal in (Goal.FINISH, Goal.PAUSE) and want.until is not None
        capped = ends and summary.round < (want.until or 0)
        runs.go_on(run_id, want.until if capped else None, want.because if capped else None)
    return finish(runs, run, as_json)
