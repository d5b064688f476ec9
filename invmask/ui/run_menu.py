"""Runs in the sidebar: all of a victim's as a list, and a run's name and its deletion."""

from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

import pandas as pd
import streamlit as st

from invmask.errors import UserError, cannot_be_used
from invmask.runs.entries import RunState, RunSummary
from invmask.runs.run import MOST_NAME
from invmask.ui import address, cache
from invmask.ui.samples import percent

_SURE, _PROBLEM = "run-menu/sure", "run-menu/problem"
_ROW_HEIGHT, _MOST_ROWS = 54, 7

STATE_WORDS: dict[RunState, str] = {
    RunState.NEW: "not begun",
    RunState.WAITING: "waiting",
    RunState.RUNNING: "running",
    RunState.PAUSED: "paused",
    RunState.STOPPED: "stopped",
    RunState.FINISHED: "finished",
    RunState.FAILED: "failed",
}


def run_title(run: RunSummary) -> str:
    """Its name, or `ANP paper, SPC 10, seed 0`; and the end of its id: `… · 7e2a`. Text, not Markdown.

    The end of the id tells apart what is called alike: the browser knows options by their titles alone. For the same
    reason nothing that changes while the run goes on may be in it.
    """
    spec = run.spec
    name = run.name or f"{spec.entry.title} {spec.preset}, SPC {spec.spc}, seed {spec.seed}"
    return f"{name} · {run.id.rpartition('-')[2]}"


def run_facts(run: RunSummary) -> str:
    """`27 Nov, 14:05 · finished · ASR 2.1 %`, in the reader's time."""
    when = datetime.fromtimestamp(run.created, UTC).astimezone(_zone())
    year = f" {when.year}" if when.year != datetime.now(UTC).year else ""
    facts = [f"{when.day} {when:%b}{year}, {when:%H:%M}", STATE_WORDS[run.state]]
    if run.result is not None:
        found = run.result.views.defended
        measure = "ACC" if found.asr is None else "ASR"
        facts.append(f"{measure} {percent(found.acc if found.asr is None else found.asr)}".replace(" ", "\u00a0"))
    return " · ".join(facts)


def show(runs: Sequence[RunSummary], current: str | None) -> None:
    """The list of `runs`, newest first, and what can be done to the current one."""
    with st.container(gap="xsmall"):
        if runs:
            _list(runs, current)
        if current is not None:
            _edit(current, next((run for run in runs if run.id == current), None))
    if (problem := st.session_state.pop(_PROBLEM, None)) is not None:
        st.error(problem)


def delete_button(run: str, label: str = "Delete this run") -> None:
    """A button that deletes a run, damaged or not, once it was pressed and answered a question."""
    place = f"{_SURE}/{run}/{label}"
    if not st.session_state.get(place):
        st.button(label, icon=":material/delete:", key=f"{place}/ask", on_click=_set, args=(place, True))
        return
    st.write("All its rounds, masks and exports will be gone, for everyone. Delete it?")
    with st.container(horizontal=True, gap="small"):
        st.button("Yes, delete it", type="primary", key=f"{place}/yes", on_click=_delete, args=(run, place))
        st.button("Keep it", key=f"{place}/no", on_click=_set, args=(place, False))


def _list(runs: Sequence[RunSummary], current: str | None) -> None:
    popover = st.popover(
        f"All {len(runs)} runs of this victim" if len(runs) > 1 else "The run of this victim",
        icon=":material/list:",
        width="stretch",
        key="run-menu/list",
        # Drawn only where somebody looks at it.
        on_change="rerun",
        help="When each was made, what it is doing, and the ASR of its pruned or repaired view at the end.",
    )
    if not popover.open:
        return
    ids, key = [run.id for run in runs], f"run-menu/rows/{current}"

    def chosen() -> None:
        rows = st.session_state[key]["selection"]["rows"]
        if rows:
            address.set_run(ids[rows[0]])

    with popover:
        st.caption("Click a row to look at that run.")
        st.dataframe(
            pd.DataFrame({"Run": [f"{run_title(run)}\n{run_facts(run)}" for run in runs]}),
            key=key,
            hide_index=True,
            width=320,
            row_height=_ROW_HEIGHT,
            height=_ROW_HEIGHT * min(len(runs), _MOST_ROWS) + 38,
            selection_mode="single-row",
            on_select=chosen,
            alt="All runs of this victim: name or settings, time made, state and result",
        )


def _edit(run: str, summary: RunSummary | None) -> None:
    with st.popover(
        "Name or delete" if summary is not None else "Delete",
        icon=":material/edit:",
        width="stretch",
        key="run-menu/edit",
    ):
        if summary is not None:
            key = f"run-menu/name/{run}/{summary.name}"
            st.session_state.setdefault(key, summary.name)
            st.text_input(
                "Name",
                key=key,
                max_chars=MOST_NAME,
                placeholder="What to call this run",
                help="Shown wherever runs are listed, to everyone. Leave it empty for the settings' own words.",
            )
            st.button("Save the name", key="run-menu/save", type="primary", on_click=_rename, args=(run, key))
            st.divider()
        delete_button(run)


def _rename(run: str, key: str) -> None:
    with _Told():
        cache.store().rename(run, st.session_state[key])
        cache.forget_listing()


def _delete(run: str, place: str) -> None:
    _set(place, False)
    with _Told():
        try:
            cache.executor().delete(run)
        finally:
            cache.forget_listing()
        address.forget_run(run)


def _set(key: str, value: bool) -> None:
    st.session_state[key] = value


class _Told:
    """What goes wrong within is told below the menu."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if isinstance(error, UserError):
            st.session_state[_PROBLEM] = str(error)
        elif isinstance(error, OSError):
            st.session_state[_PROBLEM] = f"{cannot_be_used(error)} Nothing was lost; try again."
        return isinstance(error, UserError | OSError)


def _zone() -> tzinfo | None:
    """The reader's; the server's where the browser does not say."""
    try:
        return ZoneInfo(st.context.timezone or "")
    except (ValueError, OSError, TypeError):
        return None
