"""Who may steer a run: begin, step, pause, stop, rename or delete it, and save masks in it. Others watch."""

from invmask.errors import UserError
from invmask.runs.store import owner
from invmask.runs.store.spec import RunSpec
from invmask.ui.shell import address, cache, limits, visitor
from invmask.ui.shell.hidden import STEER

HIDDEN = "The link that you opened hides the buttons that steer a run."
FOLLOWS = "The presenter steers."
NOT_YOURS = "This run belongs to somebody else. Only its maker steers it."


def refusal(run: str | None) -> str | None:
    """Why the visitor may not steer the run, or begin one (None), as a sentence; None if they may."""
    if address.hides().control(STEER):
        return FOLLOWS if address.follows() else HIDDEN
    if run is None:
        return None
    folder = cache.store().folder / run
    return None if any(owner.may_steer(folder, key) for key in visitor.all_keys()) else NOT_YOURS


def check(run: str | None) -> None:
    """Refuse what the visitor may not do; also for buttons that are not drawn, as a browser may press any.

    Raises:
        UserError: the visitor may not steer the run.
    """
    if (why := refusal(run)) is not None:
        raise UserError(why)


def create(spec: RunSpec) -> str:
    """Create a run that belongs to the visitor; returns its id.

    Raises:
        UserError: the visitor may not begin a run.
    """
    check(None)
    limits.check()
    return cache.executor().create(spec, visitor.key()).id
