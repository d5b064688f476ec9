"""The pages of the dashboard, and the entry for a visitor who follows a link to one of them."""

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
    """Whether app.py has been run since the server began."""
    return _ENTERED.is_set()


def menu() -> Any:
    """Draw the menu of all pages; returns the visitor's page, for app.py to run."""
    page = st.navigation(pages())
    _ENTERED.set()
    return page


def come_in_through_app() -> None:
    """Start again through app.py if a page's script was run without it.

    Until `st.navigation` has been called once in a server, Streamlit treats the scripts in pages/ as separate pages. So
    if a link to a page is the first thing opened, only the page's script runs. Calling `st.navigation` here ends this
    for good.
    """
    if not entered():
        # Without icons: there is no page config yet, so the browser would fetch the tab's icon from Google's servers.
        st.navigation(pages(icons=False))
        st.rerun()
