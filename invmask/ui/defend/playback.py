"""Playback of the rounds of a run at a chosen pace, and slow motion, which takes each round in three beats."""

import time
from dataclasses import dataclass
from enum import IntEnum

import streamlit as st

from invmask.ui.defend.timeline import asked_round, go_to_round

SLOW = "Slow motion"
PACES = {SLOW: 2.5, "1 round / 2 s": 2.0, "1 round / s": 1.0, "2 rounds / s": 0.5}
"""Seconds between two pictures, by the words of the pace; in slow motion a round has three."""
_USUAL = "1 round / s"
_PLAYING, _PACE, _BEAT, _DUE = "defend/playing", "defend/pace", "defend/beat", "defend/due"


class Beat(IntEnum):
    """What slow motion shows of a round, in the order in which the defence does it."""

    PERTURB = 0
    MOVE = 1
    ANSWER = 2


_WORDS = {
    Beat.PERTURB: "1 of 3, perturb: the defence changes clean images.",
    Beat.MOVE: "2 of 3, the gates move: mask and selection take one step.",
    Beat.ANSWER: "3 of 3, answer: what the views say after the step.",
}
_NO_PERTURBATIONS = "1 of 3: this round perturbs no images."


@dataclass(frozen=True)
class Slow:
    """Slow motion at one beat of the round shown."""

    beat: Beat

    def words(self, perturbs: bool) -> str:
        """What is seen; `perturbs` tells whether the round made perturbations."""
        return _NO_PERTURBATIONS if self.beat is Beat.PERTURB and not perturbs else _WORDS[self.beat]


def playing(run: str) -> bool:
    """Whether the run is being played back."""
    return st.session_state.get(_PLAYING) == run


def seconds() -> float:
    """Seconds between two pictures at the chosen pace."""
    return PACES[st.session_state.get(_PACE, _USUAL)]


def slow_motion(run: str) -> Slow | None:
    """Where slow motion is in its round; None if it is not on."""
    if not playing(run) or st.session_state.get(_PACE) != SLOW:
        return None
    return Slow(Beat(st.session_state.get(_BEAT, Beat.ANSWER)))


def advance(run: str, last: int) -> bool:
    """Go on to the next picture if it is due. At the end playback stops; returns whether it has just stopped.

    Args:
        last: the last round of the run.
    """
    if not playing(run):
        return False
    now, due = time.monotonic(), st.session_state[_DUE]
    if due is None or now >= due:
        # A timer may be a little early.
        st.session_state[_DUE] = now + 0.8 * seconds()
    if due is None or now < due:
        # None: the first picture has not been drawn yet, however long that takes.
        return False
    asked = asked_round()
    shown = last if asked is None else min(asked, last)
    beat = st.session_state.get(_BEAT, Beat.ANSWER)
    if st.session_state.get(_PACE) == SLOW and beat < Beat.ANSWER:
        st.session_state[_BEAT] = beat + 1
        return False
    if shown >= last:
        stop()
        go_to_round(None)
        return True
    st.session_state[_BEAT] = Beat.PERTURB
    go_to_round(shown + 1)
    return False


def stop() -> None:
    """End playback where it is."""
    st.session_state[_PLAYING] = None


def show_controls(run: str, last: int, moved: str) -> None:
    """Draw the button that starts and stops playback, and the choice of its pace.

    Args:
        moved: the key in the session that makes the whole page be drawn again, with another timer.
    """
    going = playing(run)

    def toggle() -> None:
        if going:
            stop()
        else:
            asked = asked_round()
            if asked is None or asked >= last:
                go_to_round(0)
            st.session_state.update({_PLAYING: run, _BEAT: Beat.ANSWER, _DUE: None})
        st.session_state[moved] = True

    def change() -> None:
        st.session_state.update({_BEAT: Beat.ANSWER, _DUE: None, moved: going})

    st.button(
        "Hold" if going else "Play",
        key="defend/play",
        icon=":material/pause_circle:" if going else ":material/play_circle:",
        help="Play the recorded rounds back, from the round shown or, at the end, from the beginning.",
        disabled=last == 0,
        on_click=toggle,
    )
    st.session_state.setdefault(_PACE, _USUAL)
    st.selectbox(
        "Pace",
        list(PACES),
        key=_PACE,
        on_change=change,
        label_visibility="collapsed",
        persist_state="session",
        width=150,
    )
