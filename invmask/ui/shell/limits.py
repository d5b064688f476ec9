"""Limits: how many runs and trainings of one maker go on at once, and how large their runs may be."""

from collections.abc import Collection

from invmask import settings
from invmask.errors import UserError
from invmask.runs.store import owner, sizes
from invmask.runs.store.run import Run
from invmask.runs.store.trainings import home_trainings
from invmask.ui.shell import cache, visitor

MOST_TRAININGS = 10
"""So many trainings of one person go on at once, where the server sets no limit. A curve counts as one."""
MOST_POINTS = 12
"""So many victims of one person's curves are trained or wait at once."""


def check(run: str | None = None) -> None:
    """Refuse a run to be begun or continued beyond the limits.

    Args:
        run: the run to be continued, which does not count against its own limit; None for a new run.

    Raises:
        UserError: the visitor has as many runs as they may, or the settings are wrong.
    """
    most, most_bytes = settings.owner_runs(), settings.owner_bytes()
    if most is None and most_bytes is None:
        return
    store = cache.store()
    mine = sizes.owned_by(store.runs(), visitor.key())
    if most is not None and sum(_under_way(each) for each in mine if each.id != run) >= most:
        runs = "A run of yours goes" if most == 1 else f"{most} runs of yours go"
        raise UserError(
            f"{runs} on already, and this server allows one person no more at once; pause one or wait for its end."
        )
    if most_bytes is not None and sum(sizes.size_of(each.path) for each in mine) >= most_bytes:
        raise UserError(
            f"Your runs take {most_bytes // 1_000_000:,} MB, the most that this server keeps for one person; delete "
            "one that you do not need."
        )


def _under_way(run: Run) -> bool:
    try:
        return run.has_work()
    except UserError:
        return False


def check_trainings(names: Collection[str], keep: bool) -> None:
    """Refuse trainings beyond the limits.

    Args:
        names: the names of the victims to be trained.
        keep: whether they are kept; otherwise they are the points of a curve, which together count as one training.

    Raises:
        UserError: as many trainings of the visitor go on as may, or the settings are wrong.
    """
    mine = [
        each
        for each in home_trainings().trainings()
        if each.id not in names and each.has_work() and owner.is_owned_by(each.path, visitor.all_keys())
    ]
    kept = sum(each.is_kept() for each in mine)
    points = len(mine) - kept
    most = settings.owner_runs() or MOST_TRAININGS
    if kept + (points > 0 or not keep) + (len(names) if keep else 0) > most:
        trainings = "A training of yours goes" if most == 1 else f"{most} trainings of yours go"
        raise UserError(
            f"{trainings} on already, and one person may have no more at once; stop one or wait for its end."
        )
    if not keep and points + len(names) > MOST_POINTS:
        raise UserError("Victims of your other curves are still being trained; stop them or wait for their end.")
