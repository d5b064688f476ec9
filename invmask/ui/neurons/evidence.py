"""Slow evidence: requested when a reader opens the page, gathered by the workers, with its progress on the page."""

import streamlit as st

from invmask.errors import UserError
from invmask.evidence.rankings import OF_THE_ROUND
from invmask.runs.store.records import RunSummary
from invmask.runs.work import evidence
from invmask.runs.work.evidence import VictimEvidence
from invmask.runs.work.top_cuts import TopCuts
from invmask.ui.defend.state_line import UNDER_WAY
from invmask.ui.shell import cache, run_trouble

LOOK_SECONDS = 1.0


def ask(run: RunSummary, round_taken: int, follows: bool) -> None:
    """Request the evidence about this round, unless it exists, or was requested and failed.

    Args:
        follows: whether the reader follows the latest round. It changes every second while a run is under way; then
            only the evidence about the victim is requested, once.
    """
    directory = cache.store().run(run.id)
    if evidence.problem(directory) is not None:
        return
    asked, of_victim = evidence.wanted(directory), evidence.victim_evidence(directory)
    if run.state in UNDER_WAY and follows and asked is not None:
        round_taken = asked
    of_round = evidence.top_cuts(directory, round_taken)
    complete = of_victim is not None and of_victim.complete and of_round is not None and of_round.complete
    if not complete and asked != round_taken:
        cache.executor().gather_evidence(run.id, round_taken)
    elif not complete:
        # Requested before, perhaps by a dashboard that has ended. Start the executor, so that the work is done.
        cache.executor()


def show_progress(run_id: str) -> None:
    """Show the progress of the gathering, and redraw the page whenever something new can be shown."""
    directory = cache.store().run(run_id)
    problem = evidence.problem(directory)
    if problem is not None:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.warning(problem, icon=":material/info:")
            asked = evidence.wanted(directory)
            again = run_trouble.unless_gone(cache.executor().gather_evidence)
            st.button("Try again", on_click=again, args=(run_id, asked or 0))
        return
    if evidence.has_work(directory):
        st.fragment(_progress, run_every=LOOK_SECONDS)(run_id, _stage(run_id))


def _progress(run_id: str, shown: tuple[int, ...]) -> None:
    try:
        if _stage(run_id) != shown:
            st.rerun()
        found, cuts = evidence.victim_evidence(cache.store().run(run_id)), _cuts_of(run_id)
    except UserError:
        # The run is deleted or damaged; the whole page reports this.
        st.rerun()
    share, doing = _doing(cuts, found)
    st.progress(share, f"Gathering evidence in the background: {doing}")
    if (trouble := cache.executor().problem) is not None:
        st.warning(trouble, icon=":material/info:")


def _cuts_of(run_id: str) -> TopCuts | None:
    """The curves that were requested last, as far as measured."""
    directory = cache.store().run(run_id)
    asked = evidence.wanted(directory)
    return None if asked is None else evidence.top_cuts(directory, asked)


def _doing(cuts: TopCuts | None, found: VictimEvidence | None) -> tuple[float, str]:
    """The finished share, in [0, 1], of the evidence that is being gathered now, and its name."""
    of_victim = 0.0 if found is None else found.done / max(1, found.total)
    first = cuts is not None and all(name in cuts.of and cuts.of[name].complete for name in _first(cuts))
    if cuts is None or not first:
        return (0.0 if cuts is None else cuts.done), "the top channels cut, and random sets"
    if of_victim < 1:
        return of_victim, f"conductance, and each channel cut alone, {100 * of_victim:.0f} %"
    return cuts.done, f"the top channels by the other rankings cut, {100 * cuts.done:.0f} %"


def _first(cuts: TopCuts) -> list[str]:
    """The rankings that need no evidence about the victim; they are measured first."""
    return [name for name in OF_THE_ROUND if name in cuts.wanted]


def _stage(run_id: str) -> tuple[int, ...]:
    """A value that changes when the page should be redrawn because of new results; it changes only a few times."""
    directory = cache.store().run(run_id)
    cuts, found = _cuts_of(run_id), evidence.victim_evidence(directory)
    quarters = 0 if found is None else 1 + 4 * found.done // max(1, found.total)
    lines = [] if cuts is None else [len(each.top) == len(each.counts) for each in cuts.of.values()]
    complete = 0 if cuts is None else sum(each.complete for each in cuts.of.values())
    return sum(lines), complete, quarters, int(evidence.has_work(directory))
