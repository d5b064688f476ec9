"""How many of the compared runs exist, and the button that starts the missing ones."""

from collections.abc import Sequence

import streamlit as st

from invmask import settings
from invmask.errors import UserError, cannot_be_used
from invmask.grids.comparison import Compared, compared, seconds_left
from invmask.runs.store import staleness
from invmask.runs.store.records import RunSummary
from invmask.ui.compare.compare_choice import CompareChoice
from invmask.ui.shell import cache, steering
from invmask.ui.shell.names import count

_PROBLEM = "compare/problem"


def cases_of(choice: CompareChoice) -> list[Compared]:
    """Every chosen case with its run, if there is one.

    Raises:
        UserError: too many cases are chosen.
    """
    runs: list[RunSummary] = []
    for name in choice.victims:
        runs += staleness.of_todays_victim(cache.listing().runs, name, settings.runs_folder())
    return compared(choice.specs(), runs)


def show(choice: CompareChoice, cases: Sequence[Compared]) -> None:
    """Draw the button and how far the runs are."""
    finished, under_way = sum(case.finished for case in cases), sum(case.under_way for case in cases)
    missing = len(cases) - finished - under_way
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            f"Start {_missing(missing)}",
            icon=":material/play_arrow:",
            key="compare/start-missing",
            type="primary" if missing else "secondary",
            disabled=not missing or steering.refusal(None) is not None,
            on_click=_start,
            args=(choice,),
            help="They run in the background to their end, as if started on Defend; you can leave this page.",
        )
        left = seconds_left(cases)
        time = f", about {_minutes(left / settings.workers())} left" if left else ""
        st.caption(
            f"{count(finished)} of {count(len(cases))} runs finished, {count(under_way)} under way, "
            f"{count(missing)} missing{time}."
        )
    for words in [st.session_state.pop(_PROBLEM, None), cache.executor().problem if under_way else None]:
        if words is not None:
            st.warning(words)


def _missing(number: int) -> str:
    return "the missing run" if number == 1 else f"the {count(number)} missing runs" if number else "missing runs"


def _minutes(seconds: float) -> str:
    return f"{max(1, round(seconds))} s" if seconds < 90 else f"{round(seconds / 60)} min"


def _start(choice: CompareChoice) -> None:
    """Create missing runs and continue the reader's paused ones. Runs are read again: another reader may have acted."""
    executor = cache.executor()
    cache.forget_listing()
    try:
        for case in cases_of(choice):
            if case.run is None:
                executor.go_on(steering.create(case.spec))
            elif not case.finished and not case.under_way and steering.refusal(case.run.id) is None:
                executor.go_on(case.run.id)
    except UserError as error:
        st.session_state[_PROBLEM] = str(error)
    except OSError as error:
        st.session_state[_PROBLEM] = f"{cannot_be_used(error)} Start the rest again later."
    cache.forget_listing()
