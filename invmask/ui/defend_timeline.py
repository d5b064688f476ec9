"""The slider that goes back through every recorded round; which one is shown is in the page address."""

import streamlit as st

from invmask.ui import address
from invmask.ui.defend_frames import Frame
from invmask.ui.theme import current_theme

_FOLLOW, _CEILING, _DRAWN = "defend/follow", "defend/ceiling", "defend/drawn"
_CHOICE = "round"
SLIDER_HELP = "Everything below shows the run as it was after this round. 0 is before the first round."
FOLLOW_HELP = "Show the latest round, and go along while the run goes on. Moving the slider switches it off."


def asked_round() -> int | None:
    """The round that the reader went back to; None while the latest is followed."""
    asked = address.choice(_CHOICE, "")
    return int(asked) if asked.isdecimal() and len(asked) < 7 else None


def show_timeline(frame: Frame) -> None:
    """Draw slider and switch.

    A slider whose range changes is a new slider to the browser, which lets go of the thumb. So while the reader
    scrubs, the range stays at what had been recorded when that began; following the latest round widens it again.

    While a run is under way the browser may still speak of the widgets drawn before these, and Streamlit takes what
    it says of a widget that is gone for a change. So every widget remembers what it was drawn with.
    """
    following = frame.shown is None
    ceiling = frame.last if following else max(frame.round, min(frame.last, _ceiling(frame)))
    # It stays in sight while the page scrolls: what it changes is further down.
    st.html(_STYLE.replace("PAGE", str(st.get_option(f"theme.{current_theme()}.backgroundColor") or "Canvas")))
    with st.container(key="defend-timeline"):
        left, right = st.columns([3.2, 1.15], vertical_alignment="center", gap="medium")
    key = f"defend/round/{frame.run.id}/{ceiling}"
    if st.session_state.get(key) is None or (following and st.session_state[key] != frame.round):
        st.session_state[key] = frame.round
    drawn = st.session_state.setdefault(_DRAWN, {})
    drawn[key] = st.session_state[key]
    with left:
        st.slider(
            "Round shown",
            0,
            max(1, ceiling),
            key=key,
            disabled=ceiling == 0,
            on_change=_scrub,
            args=(key, frame.run.id, ceiling),
            help=SLIDER_HELP,
        )
    with right:
        key = f"{_FOLLOW}/{following}"
        st.session_state[key] = following
        st.toggle(
            "Follow live", key=key, on_change=_follow, args=(following, frame.round, frame.run.id), help=FOLLOW_HELP
        )


def _ceiling(frame: Frame) -> int:
    run, ceiling = st.session_state.get(_CEILING, ("", frame.last))
    return ceiling if run == frame.run.id else frame.last


def _scrub(key: str, run: str, ceiling: int) -> None:
    if st.session_state[key] == st.session_state[_DRAWN].get(key):
        return
    st.session_state[_CEILING] = (run, ceiling)
    address.choose(_CHOICE, str(st.session_state[key]))


def _follow(was: bool, current: int, run: str) -> None:
    if st.session_state[f"{_FOLLOW}/{was}"] == was:
        return
    if not was:
        address.choose(_CHOICE, None)
    else:
        st.session_state[_CEILING] = (run, current)
        address.choose(_CHOICE, str(current))


_STYLE = """<style>
div:has(>.st-key-defend-timeline){position:sticky;top:3.7rem;z-index:90}
.st-key-defend-timeline{background:PAGE;padding:.2rem 0 .7rem;
 border-bottom:1px solid color-mix(in srgb,currentColor 14%,transparent)}
</style>"""
