"""The page Defend below its title, a fragment that is redrawn every second while the run is under way."""

import streamlit as st

from invmask.errors import UserError
from invmask.runs.store.records import RunState, RunSummary
from invmask.ui.defend import channel_map, drawings, playback
from invmask.ui.defend.actions import MOVED, show_buttons, show_problem, show_title, take_moved
from invmask.ui.defend.below import show_below
from invmask.ui.defend.controls import Draft
from invmask.ui.defend.drawings import Frame, read_frame
from invmask.ui.defend.intro import show_intro
from invmask.ui.defend.stage import show_stage
from invmask.ui.defend.state_line import UNDER_WAY, show_state
from invmask.ui.defend.timeline import asked_round, show_timeline
from invmask.ui.parts import kept_chart
from invmask.ui.shell import address, cache, crowd, run_trouble
from invmask.ui.shell.theme import current_theme
from invmask.victims.victim import VictimCard

LIVE_SECONDS, FIRST_SECONDS = 1.0, 0.3
"""Between two looks at a run under way: usually, and until its first round, while there is little to draw."""
WATCH_SECONDS = 4.0


def show(card: VictimCard, draft: Draft) -> None:
    """Draw the page for the run in the address, or what to do if there is none."""
    run = address.current_run()
    state = _state(run)
    under_way = state in UNDER_WAY
    begins = under_way and run is not None and _rounds(run) == 0
    every = _every(run, under_way, begins)
    st.fragment(_draw, run_every=every)(card, draft, run, under_way, begins, every)
    if run is not None and not under_way:
        st.fragment(_watch, run_every=WATCH_SECONDS)(run, state, _rounds(run))


def _every(run: str | None, under_way: bool, begins: bool) -> float | None:
    """Seconds between two looks; None if nothing changes by itself."""
    if run is not None and playback.playing(run):
        return crowd.slowed(playback.seconds())
    return crowd.slowed(FIRST_SECONDS if begins else LIVE_SECONDS) if under_way else None


def _state(run: str | None) -> RunState | None:
    try:
        return cache.summary(run).state if run is not None else None
    except UserError:
        return None


def _rounds(run: str) -> int:
    try:
        return cache.summary(run).round
    except UserError:
        return 0


def _watch(run: str, state: RunState | None, rounds: int) -> None:
    """Watch the run, because another user may continue it; a single step may begin and end between two looks."""
    if _state(run) is not state or _rounds(run) != rounds:
        st.rerun()


def _draw(card: VictimCard, draft: Draft, run: str | None, under_way: bool, begins: bool, every: float | None) -> None:
    if take_moved():
        st.rerun()
    if every is not None and _every(run, under_way, begins) != every:
        # Readers have come or gone.
        st.rerun()
    run_trouble.follow(run)
    channel_map.go_to_opened()
    if run is not None and playback.advance(run, _rounds(run)):
        st.rerun()
    with st.container(key="defend-page", gap="xsmall"):
        try:
            summary = cache.summary(run) if run is not None else None
        except UserError as error:
            show_title(draft)
            run_trouble.show(error)
            return
        try:
            _parts(card, draft, summary, under_way, begins)
        except UserError as error:
            # In a fragment, the page's own message about a damaged run cannot be reached.
            run_trouble.show(error)


def _parts(card: VictimCard, draft: Draft, summary: RunSummary | None, under_way: bool, begins: bool) -> None:
    if summary is not None and (summary.state in UNDER_WAY) != under_way:
        st.rerun()
    if begins and summary is not None and summary.round:
        # From now on there is more to draw, and less often.
        st.rerun()
    show_buttons(draft, summary)
    show_problem()
    _trouble(summary)
    frame = _frame(summary.id) if summary is not None else None
    if summary is None or frame is None:
        if summary is None and draft.problem is None:
            cache.executor().prepare(draft.spec())
        if summary is not None:
            show_state(summary, (), card.dataset_info.classes)
        begun, defense = (
            summary is not None and summary.state in UNDER_WAY,
            summary.spec.entry if summary else draft.entry,
        )
        show_intro(begun, draft if summary is None else None, defense)
        kept_chart.prepare()
        return
    show_state(summary, frame.entries, card.dataset_info.classes)
    show_timeline(frame, lambda: playback.show_controls(frame.run.id, frame.last, MOVED))
    _body(card, frame)


def _frame(run: str) -> Frame | None:
    """The requested round, or the latest round if the run has not reached it."""
    asked = asked_round()
    frame = read_frame(run, asked)
    if frame is None or asked is None or asked <= frame.last:
        return frame
    address.leave_out("round", f"the run has rounds 0 to {frame.last:,}")
    return read_frame(run, None)


def _trouble(summary: RunSummary | None) -> None:
    if summary is not None and summary.message:
        if summary.state is RunState.FAILED:
            st.error(f"{summary.message} Press Run to try again, or Reset to start over.", icon=":material/error:")
        else:
            st.warning(summary.message, icon=":material/info:")
    problem = cache.executor().problem
    if problem and summary is not None and summary.state in UNDER_WAY:
        st.error(f"{problem} The run goes on by itself as soon as that is mended.", icon=":material/error:")


def _body(card: VictimCard, frame: Frame) -> None:
    theme = current_theme()
    found = drawings.search_cards(frame, card.dataset_info.classes) if frame.capabilities.searches else None
    slow = playback.slow_motion(frame.run.id)
    before = read_frame(frame.run.id, max(0, frame.round - 1)) if slow is not None else None
    show_stage(card, frame, found, theme, slow, before or frame)
    show_below(card, frame, found, theme)
    if frame.capabilities.channels:
        layout = frame.run.layout()
        assert layout is not None
        channel_map.listen(layout.layers)
