"""The victim and the run that an address names: valid names, or one sentence about what is wrong."""

from dataclasses import dataclass

from invmask.ui.shell import cache
from invmask.ui.shell.names import quoted


@dataclass(frozen=True)
class Named:
    """The nearest valid names.

    Attributes:
        victim, run: valid names, or None.
        complaint: one sentence about a wrong name; None if all is well.
        damaged: the run that the complaint is about, if it exists but cannot be read.
    """

    victim: str | None
    run: str | None
    complaint: str | None = None
    damaged: str | None = None


def settle(victim: str | None, run: str | None, page: str) -> Named:
    """Check the names in an address. A wrong name gives a complaint and the nearest existing choice.

    Args:
        page: the title of the page, which the sentence may depend on.
    """
    cards, complaint, damaged = cache.victim_cards(), None, None
    found = cache.run_victim(run) if run is not None else None
    if run is not None and found is None:
        complaint = f"There is no run {quoted(run)}. Choose one in the sidebar, or start one on the page Defend."
        if cache.is_damaged(run):
            complaint = f"Run {run} is damaged and cannot be read: delete it, or choose another in the sidebar."
            damaged = run
        run = None
    if found is not None and found not in cards:
        complaint = f"The victim of the run '{run}', '{found}', is not on this machine. Choose another run."
        run = found = None
    victim = found or victim
    if victim is not None and victim not in cards:
        if cards:
            complaint = f"There is no victim {quoted(victim)}. Choose one in the sidebar."
        victim = None
    if victim is None or run is None:
        return Named(victim or next(iter(cards), None), None, complaint, damaged)
    why = cache.another_victim(run)
    if why is None:
        return Named(victim, run, complaint, damaged)
    if not cache.fits_victim(run):
        complaint = (
            f"The victim of the run '{run}' is not the network that the run began with, and the run's masks do not fit "
            "it. Choose another run."
        )
        return Named(victim, None, complaint, damaged)
    measured = "This page measures today's victim with the run's masks."
    if page == "Defend":
        measured = "This page shows what was recorded with the earlier victim; the other pages measure today's."
    return Named(
        victim, run, f"The victim of the run '{run}' has changed since the run began: {why}. {measured}", damaged
    )
