"""Runs in the sidebar: the list of a victim's runs, and renaming and deleting a run."""

from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

import streamlit as st

from invmask.errors import UserError, cannot_be_used
from invmask.runs.store.records import RunState, RunSummary, verdict
from invmask.runs.store.run_name import MOST_NAME
from invmask.ui.parts.samples import percent
from invmask.ui.shell import address, cache, steering
from invmask.ui.shell.names import plain

_SURE, _PROBLEM = "run-menu/sure", "run-menu/problem"
# As wide as fits on a phone.
_WIDTH = 270
MOST_LISTED = 40

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
    """The run's name, or `default, SPC 10, seed 0`, and the end of its id: `… · 7e2a`. Text, not Markdown.

    A browser identifies options by their titles. So the end of the id makes the title unique, and nothing that changes
    during the run may be in it.
    """
    spec = run.spec
    name = run.name or f"{spec.brief}, SPC {spec.spc}, seed {spec.seed}"
    return f"{name} · {run.id.rpartition('-')[2]}"


def run_facts(run: RunSummary) -> str:
    """`27 Nov, 14:05 · finished · ASR 2.1 %`, in the reader's time."""
    facts = [time_words(run.created), STATE_WORDS[run.state]]
    if run.result is not None:
        found = run.result.views.defended
        measure = "ACC" if found.asr is None else "ASR"
        if (told := verdict(run)) is not None:
            facts.append(told.word)
        facts.append(f"{measure} {percent(found.acc if found.asr is None else found.asr)}".replace(" ", "\u00a0"))
    return " · ".join(facts)


def time_words(seconds: float) -> str:
    """`27 Nov, 14:05`, in the reader's time; with the year if it is another."""
    when = datetime.fromtimestamp(seconds, UTC).astimezone(_zone())
    year = f" {when.year}" if when.year != datetime.now(UTC).year else ""
    return f"{when.day} {when:%b}{year}, {when:%H:%M}"


def show(runs: Sequence[RunSummary], current: str | None) -> None:
    """Draw the list of `runs`, newest first, and the actions for the current run."""
    with st.container(horizontal=True, gap="xsmall"):
        if runs:
            _list(runs, current)
        if current is not None and steering.refusal(current) is None:
            _edit(current, next((run for run in runs if run.id == current), None))
    if (problem := st.session_state.pop(_PROBLEM, None)) is not None:
        st.error(problem)


def delete_button(run: str, label: str = "Delete this run") -> None:
    """A button that deletes a run, damaged or not, after a confirmation; not for who may only watch the run."""
    if steering.refusal(run) is not None:
        return
    place = f"{_SURE}/{run}/{label}"
    if not st.session_state.get(place):
        st.button(label, icon=":material/delete:", key=f"{place}/ask", on_click=_set, args=(place, True))
        return
    st.write("All its rounds, masks and exports will be gone, for everyone. Delete it?")
    with st.container(horizontal=True, gap="small"):
        st.button("Yes, delete it", type="primary", key=f"{place}/yes", on_click=_delete, args=(run, place))
        st.button("Keep it", key=f"{place}/no", on_click=_set, args=(place, False))


def _list(runs: Sequence[RunSummary], current: str | None) -> None:
    popover = st.popover(f"{len(runs):,} runs" if len(runs) > 1 else "1 run", width="stretch", key="run-menu/list")
    found, key = {run.id: run for run in runs[:MOST_LISTED]}, f"run-menu/rows/{current}"
    st.session_state[key] = current if current in found else None
    with popover, st.container(width=_WIDTH):
        st.radio(
            "Runs, newest first",
            list(found),
            key=key,
            format_func=lambda run: plain(run_title(found[run])),
            captions=[run_facts(run) for run in found.values()],
            on_change=lambda: address.set_run(st.session_state[key]),
            label_visibility="collapsed",
        )
        if len(runs) > len(found):
            st.caption(f"The newest {len(found)} of them. Older ones are in the field Run.")


def _edit(run: str, summary: RunSummary | None) -> None:
    with (
        st.popover(
            "Edit run" if summary is not None else "Delete run",
            width="stretch",
            key="run-menu/edit",
            help="Give this run a name, or delete it.",
        ),
        st.container(width=_WIDTH),
    ):
        if summary is not None:
            # With another name, the field gets a new key and starts with that name.
            key = f"run-menu/name/{run}/{summary.name}"
            st.text_input(
                "Name",
                summary.name,
                key=key,
                max_chars=MOST_NAME,
                placeholder="What to call this run",
                help="Shown wherever runs are listed, to everyone. Leave it empty to show the settings instead.",
            )
            st.button("Save the name", key="run-menu/save", type="primary", on_click=_rename, args=(run, key))
        delete_button(run)


def _rename(run: str, key: str) -> None:
    with _Told():
        steering.check(run)
        cache.store().rename(run, st.session_state[key])
        cache.forget_listing()


def _delete(run: str, place: str) -> None:
    _set(place, False)
    with _Told():
        try:
            steering.check(run)
            cache.executor().delete(run)
        finally:
            cache.forget_listing()
        address.forget_run(run)


def _set(key: str, value: bool) -> None:
    st.session_state[key] = value


class _Told:
    """Within the block, errors are shown below the menu."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if isinstance(error, UserError):
            st.session_state[_PROBLEM] = str(error)
        elif isinstance(error, OSError):
            st.session_state[_PROBLEM] = f"{cannot_be_used(error)} Nothing was lost; try again."
        return isinstance(error, UserError | OSError)


def _zone() -> tzinfo | None:
    """The reader's time zone, or the server's if the browser does not report one."""
    try:
        return ZoneInfo(st.context.timezone or "")
    except (ValueError, OSError, TypeError):
        return None
