"""One measure of every defence on every victim, and the runs behind a cell."""

from collections.abc import Sequence

import streamlit as st

from invmask.figures.comparison import MatrixCell, measure_matrix
from invmask.grids.comparison import MEASURES, Compared, Spread, in_words, method_title
from invmask.runs.store.records import RunState
from invmask.ui.compare.compare_choice import CompareChoice, measure, short_labels
from invmask.ui.shell import address
from invmask.ui.shell.names import count
from invmask.ui.shell.theme import chart, current_theme

CELL = "cell"
OPEN = "compare/open"
"""Set in the session when a run was opened."""
_MATRIX = "compare-matrix"
_STATES = {
    RunState.RUNNING: "under way",
    RunState.WAITING: "under way",
    RunState.PAUSED: "paused",
    RunState.STOPPED: "stopped",
    RunState.NEW: "not begun",
    RunState.FAILED: "failed",
}


def show(choice: CompareChoice, cases: Sequence[Compared]) -> None:
    """Draw a cell for each defence and victim; below, the runs behind the clicked cell."""
    by, order = measure(), list(dict.fromkeys(case.method for case in cases))
    tip = "Means over SPC and seeds. Click a cell for its runs."
    st.subheader(f"{MEASURES[by]} on every victim", anchor=False, help=tip)
    groups: dict[tuple[tuple[str, str], str], list[Compared]] = {}
    for case in sorted(cases, key=lambda case: order.index(case.method)):
        groups.setdefault((case.method, case.spec.victim), []).append(case)
    labels, cells = short_labels(choice.victims), []
    for (method, victim), members in groups.items():
        found = Spread.of([share for case in members if (share := case.share(by)) is not None])
        label = labels[victim]
        cells.append(
            MatrixCell(
                method_title(method),
                label,
                None if found is None else found.mean,
                f"{method_title(method)}<br>{label}<br>{MEASURES[by]} {in_words(found)} %"
                f"<br>{sum(case.finished for case in members)} of {len(members)} runs finished",
            )
        )
    keys = [f"{defense}:{preset}/{victim}" for (defense, preset), victim in groups]
    asked = address.choice(CELL, "")
    place = keys.index(asked) if asked in keys else None
    if asked and place is None:
        address.leave_out(CELL, "not compared here")

    def clicked() -> None:
        picked = st.session_state[_MATRIX]["selection"]["points"]
        if picked:
            address.choose(CELL, keys[int(picked[0]["point_index"])])

    chart(
        measure_matrix(cells, current_theme(), place),
        _MATRIX,
        f"{MEASURES[by]} of each defence on each victim",
        lambda: measure_matrix(cells, "paper"),
        on_select=clicked,
        selection_mode="points",
    )
    with st.container(border=True):
        if place is None:
            st.caption("Click a cell to see its runs here.")
            return
        for case in list(groups.values())[place]:
            _run(case)


def _run(case: Compared) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        run = case.run
        st.button(
            f"Open SPC {case.spec.spc}, seed {case.spec.seed}",
            key=f"compare-open-{case.spec.spc}-{case.spec.seed}",
            icon=":material/open_in_new:",
            disabled=run is None,
            on_click=_open,
            args=(case,),
            help="On Defend, with every round." if run is not None else "There is no such run yet.",
        )
        if run is None or not case.finished:
            st.caption("Missing." if run is None else f"{_STATES.get(run.state, str(run.state)).capitalize()}.")
            return
        parts = [
            f"{title} {100 * share:.1f}\u00a0%"
            for name, title in MEASURES.items()
            if (share := case.share(name)) is not None
        ]
        assert run.result is not None
        rounds = "1 round" if run.result.round == 1 else f"{count(run.result.round)} rounds"
        st.caption(f"{', '.join(parts)}; {rounds}, {run.result.seconds:.0f} s.")


def _open(case: Compared) -> None:
    assert case.run is not None
    address.set_victim(case.spec.victim)
    address.set_run(case.run.id)
    st.session_state[OPEN] = True
