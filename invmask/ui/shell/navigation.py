"""The pages of the dashboard, and the way in for a visitor who comes by a link to one of them."""

from threading import Event
from typing import Any

import streamlit as st


def pages(icons: bool = True) -> list[Any]:
    """All pages in the order of the menu; paths are relative to app.py."""
    return [
        st.Page("pages/start.py", title="Start", icon=":material/flag:" if icons else None, default=True),
        st.Page("pages/defend.py", title="Defend", icon=":material/shield:" if icons else None),
        st.Page("pages/flip.py", title="Flip", icon=":material/flip:" if icons else None),
        st.Page("pages/neurons.py", title="Neurons", icon=":material/hub:" if icons else None),
        st.Page("pages/tune.py", title="Tune", icon=":material/tune:" if icons else None),
        st.Page("pages/export.py", title="Export", icon=":material/download:" if icons else None),
        st.Page("pages/results.py", title="Results", icon=":material/grid_on:" if icons else None),
    ]


_ENTERED = Event()


def entered() -> bool:
    """Whether somebody has come in through app.py since the server began."""
    return _ENTERED.is_set()


def menu() -> Any:
    """The menu of all pages. Returns the one that the visitor is on, for app.py to run."""
    page = st.navigation(pages())
    _ENTERED.set()
    return page


def come_in_through_app() -> None:
    """Begin again with app.py, if a page's script was run without it.

    Until somebody has called `st.navigation` in a server, Streamlit takes pages/ for pages of their own: a link to
    one of them, opened first of all, runs its script alone. Calling it here ends that for good.
    """
    if not entered():
        # Without icons: with no page config before it, the browser would fetch the tab's icon from Google's servers.
        st.navigation(pages(icons=False))
        st.rerun()
