"""The pages of the dashboard, and the way in for a visitor who comes by a link to one of them."""

from typing import Any

import streamlit as st


def pages() -> list[Any]:
    """All pages in the order of the menu; paths are relative to app.py."""
    return [
        st.Page("pages/start.py", title="Start", icon=":material/flag:", default=True),
        st.Page("pages/defend.py", title="Defend", icon=":material/shield:"),
        st.Page("pages/flip.py", title="Flip", icon=":material/flip:"),
    ]


def come_in_through_app() -> None:
    """Begin again with app.py.

    Until somebody has called `st.navigation` in a server, Streamlit takes pages/ for pages of their own: a link to
    one of them, opened first of all, runs its script without app.py. Calling it here ends that for good.
    """
    st.navigation(pages())
    st.rerun()
