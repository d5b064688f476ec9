"""The slider that goes back through all recorded rounds. The shown round is in the page address."""

from collections.abc import Callable

import streamlit as st

from invmask.ui.defend.drawings import Frame
from invmask.ui.defend.state_line import UNDER_WAY
from invmask.ui.shell import address
from invmask.ui.shell.theme import current_theme

_DRAWN, _CEILING, _TURN = "defend/drawn", "defend/ceiling", "defend/turn"
_CHOICE = "round"
SLIDER_HELP = (
    "Everything below shows the run as it was after this round; 0 is before the first. "
    "While the run goes on, switch Follow live off first, or press the arrow to the left."
)
FOLLOW_HELP = "Show the latest round, and go along while the run goes on."


def asked_round() -> int | None:
    """The round that the reader went back to; None while the latest is followed."""
    return address.number(_CHOICE)


def go_to_round(number: int | None, ceiling: tuple[str, int] | None = None) -> None:
    """Show a round (None: follow the latest); best called in a callback.

    Args:
        ceiling: the run, and the last round on the slider from now on.
    """
    address.choose(_CHOICE, None if number is None else str(number))
    st.session_state[_TURN] = _turn() + 1
    if ceiling is not None:
        st.session_state[_CEILING] = ceiling


def show_timeline(frame: Frame, playback: Callable[[], None]) -> None:
    """Draw slider, arrows, the controls of playback, and switch.

    With every poll the browser reports the positions of sliders and switches, on a busy machine also of widgets that no
    longer exist, and Streamlit treats this as a change. And a slider whose range changes drops the reader's drag. So
    only the reader may move a widget. The slider is fixed while the reader follows a run under way, and keeps its range
    while the reader drags it. Any other change of the round creates new widgets, and only the widgets drawn last are
    heard.
    """
    following = frame.shown is None
    ceiling = frame.last if following else max(frame.round, min(frame.last, _ceiling(frame)))
    at_rest = frame.last == 0 or (following and frame.summary.state in UNDER_WAY)
    here = (frame.run.id, frame.last)
    # It stays visible while the page scrolls, because the content that it changes is further down.
    st.html(_STYLE.replace("PAGE", str(st.get_option(f"theme.{current_theme()}.backgroundColor") or "Canvas")))
    with st.container(key="defend-timeline"):
        slider, arrows, switch = st.columns([2, 2.15, 1.15], vertical_alignment="center", gap="small")
    key, switch_key = f"defend/round/{frame.run.id}/{ceiling}/{_turn()}", f"defend/follow/{_turn()}/{following}"
    st.session_state[_DRAWN] = (None if at_rest else key, switch_key)
    with slider:
        st.slider(
            "Round shown",
            0,
            max(1, ceiling),
            frame.round,
            key=f"{key}/rest" if at_rest else key,
            disabled=at_rest,
            on_change=None if at_rest else _scrub,
            args=None if at_rest else (key, (frame.run.id, ceiling)),
            label_visibility="collapsed",
        )
    with arrows, st.container(horizontal=True, gap="xxsmall", horizontal_alignment="center"):
        _arrow("chevron_left", "One round back", frame.round - 1, frame.round > 0, here)
        _arrow("chevron_right", "One round on", frame.round + 1, frame.round < frame.last, here)
        playback()
    with switch:
        st.toggle(
            "Follow live",
            following,
            key=switch_key,
            on_change=_follow,
            args=(switch_key, frame.round if following else None, here),
            help=FOLLOW_HELP,
        )


def _arrow(icon: str, name: str, target: int, enabled: bool, here: tuple[str, int]) -> None:
    # The stage's style shows the icon alone; the name is there to be read out.
    st.button(
        name,
        key=f"defend/{icon}",
        icon=f":material/{icon}:",
        help=f"{name}. Key: {'left' if icon.endswith('left') else 'right'} arrow.",
        disabled=not enabled,
        on_click=go_to_round,
        args=(target, here),
    )


def _turn() -> int:
    return st.session_state.get(_TURN, 0)


def _ceiling(frame: Frame) -> int:
    run, ceiling = st.session_state.get(_CEILING, ("", frame.last))
    return ceiling if run == frame.run.id else frame.last


def _scrub(key: str, ceiling: tuple[str, int]) -> None:
    if key in st.session_state[_DRAWN]:
        st.session_state[_CEILING] = ceiling
        address.choose(_CHOICE, str(st.session_state[key]))


def _follow(key: str, target: int | None, here: tuple[str, int]) -> None:
    if key in st.session_state[_DRAWN]:
        go_to_round(target, here)


_STYLE = """<style>
div:has(>.st-key-defend-timeline){position:sticky;top:3.7rem;z-index:90}
.st-key-defend-timeline{background:PAGE;padding:.1rem 0 .3rem;
 border-bottom:1px solid color-mix(in srgb,currentColor 14%,transparent)}
.st-key-defend-timeline .stButton button{min-height:2.2rem;min-width:2.2rem;padding:.1rem .45rem}
@media(max-width:640px){.st-key-defend-timeline [data-testid="stHorizontalBlock"]{row-gap:0}
 .st-key-defend-timeline [data-testid="stColumn"]:first-child{min-width:100%!important}
 .st-key-defend-timeline [data-testid="stColumn"]:not(:first-child){min-width:0!important;flex:1 1 0!important}}
</style>"""
