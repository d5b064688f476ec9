"""The presenter's part: begin and end, the link for the class, and telling what one looks at."""

import time

import streamlit as st

from invmask import settings
from invmask.errors import UserError, cannot_be_used
from invmask.runs.store import presentation
from invmask.runs.store.presentation import Shown
from invmask.ui.class_link import link
from invmask.ui.presentation.role import role
from invmask.ui.shell import address, visitor
from invmask.ui.shell.address_words import LIVE

LOOK_SECONDS = 1.0
HEAR_SECONDS = 5.0
_TOLD, _HEARD, _PROBLEM = "live/told", "live/heard", "live/problem"


def begin() -> None:
    """Begin a presentation of what the visitor looks at.

    Raises:
        UserError: it cannot be stored.
    """
    try:
        name = presentation.begin(settings.home(), visitor.key(), _shown())
    except OSError as error:
        raise UserError(cannot_be_used(error)) from error
    address.choose_everywhere({LIVE: name})


def end() -> None:
    """End the visitor's presentation. Best called in a widget's callback."""
    found = role()
    if found.kind == "presents" and found.name is not None:
        for key in visitor.all_keys():
            try:
                presentation.end(settings.home(), found.name, key)
            except (UserError, OSError):
                continue
    address.choose_everywhere({LIVE: None})


def live_link(base: str) -> str | None:
    """The link at which a class follows; None if the visitor does not present.

    Raises:
        UserError: the base is no address of a server.
    """
    found = role()
    return link.link(base, "", {LIVE: found.name}) if found.kind == "presents" and found.name is not None else None


def tell() -> None:
    """Tell the class what the visitor looks at, and go on telling while the page is open. Called last on every page."""
    if role().kind == "presents":
        with st.sidebar:
            st.fragment(_tell, run_every=LOOK_SECONDS)()


def _tell() -> None:
    found, shown, now = role(), _shown(), time.monotonic()
    if found.kind != "presents" or found.name is None or found.presentation is None:
        st.rerun()
    try:
        # Of two tabs that present, the one that was used last is followed.
        if st.session_state.get(_TOLD) != (found.name, shown):
            key = next(key for key in visitor.all_keys() if found.presentation.is_of([key]))
            presentation.show(settings.home(), found.name, key, shown)
            st.session_state[_TOLD], st.session_state[_HEARD] = (found.name, shown), now
        elif now - st.session_state.get(_HEARD, 0.0) > HEAR_SECONDS:
            presentation.hear(settings.home(), found.name)
            st.session_state[_HEARD] = now
    except UserError:
        st.rerun()
    except OSError as error:
        st.warning(f"Your class does not see this page. {cannot_be_used(error)}", icon=":material/sensors_off:")


def _shown() -> Shown:
    return Shown(address.page(), address.shown())
