"""The buttons Step, Run, Pause, Stop and Reset: what each does, and when it is enabled."""

from collections.abc import Callable

import streamlit as st

from invmask.errors import UserError, cannot_be_used
from invmask.runs.store.records import RunState, RunSummary
from invmask.ui.defend.controls import Draft
from invmask.ui.defend.state_line import UNDER_WAY
from invmask.ui.defend.timeline import go_to_round
from invmask.ui.shell import address, cache, limits, steering

_PROBLEM, MOVED = "defend/problem", "defend/moved"


def show_buttons(draft: Draft, summary: RunSummary | None) -> None:
    """Draw the page's title and the five buttons in a row; buttons that would do nothing are disabled.

    Who may only watch is told why.
    """
    if (why := steering.refusal(summary.id if summary else None)) is not None:
        _watch(why, draft)
        return
    state = summary.state if summary else None
    under_way = state in UNDER_WAY
    may_go = not under_way and state is not RunState.FINISHED and (summary is not None or draft.config is not None)
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="defend-buttons"):
        show_title(draft)
        _button(
            "Step",
            "step",
            "Take one round, then pause. Begins a run with the settings shown if there is none. Key: space.",
            may_go and state is not RunState.FAILED,
            lambda: _advance(draft, one=True),
        )
        _button(
            "Run",
            "play_arrow",
            "Go on to the end, also after a pause, a stop or a failure. Begins a run with the settings shown if "
            "there is none.",
            may_go,
            lambda: _advance(draft, one=False),
            primary=True,
        )
        _button(
            "Pause",
            "pause",
            "Pause after the round in hand.",
            under_way,
            _on_run(lambda run: cache.executor().pause(run)),
        )
        _button(
            "Stop",
            "stop",
            "End the run here and measure the views on all embedded test images.",
            under_way or state is RunState.PAUSED,
            _on_run(lambda run: cache.executor().stop(run)),
        )
        _button(
            "Reset",
            "restart_alt",
            "Start over: a new run with the settings shown in the sidebar. This one is paused and stays in the list.",
            summary is not None and draft.config is not None,
            lambda: _reset(draft, under_way),
        )


def _watch(why: str, draft: Draft) -> None:
    """Say why there are no buttons, and offer the visitor a run of their own."""
    with st.container(horizontal=True, gap="small", key="defend-buttons", vertical_alignment="center"):
        show_title(draft)
        st.markdown(f":material/visibility: {why}", width="content")
        if steering.refusal(None) is None:
            _button(
                "Make your own from these settings",
                "add",
                "Begins a new run with the settings in the sidebar. It belongs to you.",
                draft.config is not None,
                lambda: _make_own(draft),
                primary=True,
            )


def show_title(draft: Draft) -> None:
    """Draw the page's title, with an explanation of the defence."""
    about = draft.entry
    stages = "\n\n".join(f"**{stage.title}**: {stage.explanation}" for stage in about.stages)
    st.title(
        "Defend",
        anchor=False,
        help="Take the backdoor out with a few clean images, without knowing the trigger. Every round is kept: go back "
        f"to any of them.\n\n**{about.title}**: {about.explanation} {about.details}\n\n{stages}",
        width="content",
    )


def show_problem() -> None:
    """Show one sentence about the last button if its action failed."""
    if (problem := st.session_state.pop(_PROBLEM, None)) is not None:
        st.error(problem)


def take_moved() -> bool:
    """Whether a button has switched to another run since the last call; then the whole page has to be redrawn."""
    return bool(st.session_state.pop(MOVED, False))


def _button(label: str, icon: str, text: str, enabled: bool, act: Callable[[], None], primary: bool = False) -> None:
    st.button(
        label,
        key=f"defend/{label.lower().replace(' ', '-')}",
        icon=f":material/{icon}:",
        help=text,
        disabled=not enabled,
        on_click=_guarded(act),
        type="primary" if primary else "secondary",
    )


def _guarded(act: Callable[[], None]) -> Callable[[], None]:
    def run() -> None:
        try:
            act()
        except UserError as error:
            st.session_state[_PROBLEM] = str(error)
        except OSError as error:
            st.session_state[_PROBLEM] = f"{cannot_be_used(error)} Nothing was lost; try again."

    return run


def _on_run(act: Callable[[str], None]) -> Callable[[], None]:
    def run() -> None:
        current = address.current_run()
        if current is not None:
            steering.check(current)
            act(current)

    return run


def _advance(draft: Draft, one: bool) -> None:
    executor, run = cache.executor(), address.current_run()
    steering.check(run)
    if run is None:
        run = steering.create(draft.spec())
        _go_to(run)
    else:
        limits.check(run)
    go_to_round(None)
    if one:
        executor.advance(run)
    else:
        executor.go_on(run)


def _reset(draft: Draft, under_way: bool) -> None:
    executor, old = cache.executor(), address.current_run()
    steering.check(old)
    if old is not None and under_way:
        executor.pause(old)
    go_to_round(None)
    _go_to(steering.create(draft.spec()))


def _make_own(draft: Draft) -> None:
    go_to_round(None)
    _go_to(steering.create(draft.spec()))


def _go_to(run: str) -> None:
    address.set_run(run)
    st.session_state[MOVED] = True
