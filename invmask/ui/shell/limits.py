"""Limits that a teacher sets: how many runs of one maker go on at once, and how large their runs may be."""

from invmask import settings
from invmask.errors import UserError
from invmask.runs.store import sizes
from invmask.runs.store.run import Run
from invmask.ui.shell import cache, visitor


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
