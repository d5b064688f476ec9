"""Whoever follows a presenter sees the page, victim, run, round and view that the presenter looks at."""

import streamlit as st

from invmask import settings
from invmask.runs.store import presentation
from invmask.ui.presentation.role import Role, role
from invmask.ui.shell import address, crowd, navigation
from invmask.ui.shell.address_words import LIVE

LOOK_SECONDS = 1.0
ENDED = "this presentation has ended, or never was"
_AWAY = ":material/sensors_off: The presenter is away. This page shows what they looked at last."
_THERE = ":material/sensors: **You follow a presenter.** This page shows what they look at, and you cannot steer it."


def follow(page: str) -> None:
    """Show what the presenter looks at, if the visitor follows one; may go to another page. Called after `arrive`.

    Args:
        page: the title of the page shown.
    """
    found = role()
    if found.kind == "neither" and found.name is not None:
        address.leave_out(LIVE, ENDED, told=True)
    if found.kind != "follows" or found.presentation is None:
        return
    shown = found.presentation.shown
    if shown.page != page:
        st.switch_page(navigation.script_of(shown.page))
    address.show(shown.query)


def bar() -> None:
    """Draw the line that says so, and the way out. Nothing if the visitor follows nobody."""
    found = role()
    if found.kind != "follows":
        return
    st.html(_STYLE)
    with st.container(key="live-bar", horizontal=True, vertical_alignment="center", gap="small"):
        st.fragment(_look, run_every=crowd.slowed(LOOK_SECONDS))(found, address.shown())
        # Not in the fragment: a click there is lost if the fragment ends while the page is drawn.
        st.button(
            "Look around on your own",
            key="live/leave",
            icon=":material/logout:",
            on_click=_leave,
            help="Stay on this page, with all controls. The link leads back to the presenter.",
        )


def _look(drawn: Role, shown_here: dict[str, str]) -> None:
    """Have the page drawn anew if the presenter looks at something else, or if the reader has chosen something.

    Args:
        shown_here: what the page could show of it; names of deleted things, for example, were left out.
    """
    assert drawn.name is not None
    assert drawn.presentation is not None
    now = presentation.read(settings.home(), drawn.name)
    if now is None or now.shown != drawn.presentation.shown or address.shown() != shown_here:
        st.rerun()
    st.markdown(_AWAY if now.away() else _THERE)


def _leave() -> None:
    address.choose_everywhere({LIVE: None})


# What a reader chooses here would be taken back at once, so that it does not look as if it could be chosen.
_CONTROLS = (
    "Button",
    "ButtonGroup",
    "Checkbox",
    "FileUploader",
    "MultiSelect",
    "NumberInput",
    "Radio",
    "Selectbox",
    "Slider",
    "TextInput",
)
_STYLE = f"""<style>
[data-testid=stMain] :is({",".join(f"[data-testid=st{name}]" for name in _CONTROLS)}){{pointer-events:none}}
[data-testid=stMain] .st-key-live-bar [data-testid=stButton]{{pointer-events:auto}}
.st-key-live-bar{{border:1px solid color-mix(in srgb,#2563EB 45%,transparent);border-radius:.5rem;padding:.3rem .9rem;
 background:color-mix(in srgb,#2563EB 7%,transparent)}}
.st-key-live-bar{{margin-bottom:.4rem}}
.st-key-live-bar [data-testid=stMarkdownContainer]{{margin-bottom:0}}
</style>"""
