"""The pages of the dashboard, and the entry for a visitor who follows a link to one of them."""

from threading import Event
from typing import Any

import streamlit as st

from invmask.ui.shell.hidden import Hidden


def pages(icons: bool = True) -> list[Any]:
    """All pages in the order of the menu; paths are relative to app.py."""
    return [
        st.Page("pages/start.py", title="Start", icon=":material/flag:" if icons else None, default=True),
        st.Page("pages/lesson.py", title="Lesson", icon=":material/school:" if icons else None),
        st.Page("pages/own_model.py", title="Own model", icon=":material/upload_file:" if icons else None),
        st.Page("pages/defend.py", title="Defend", icon=":material/shield:" if icons else None),
        st.Page("pages/flip.py", title="Flip", icon=":material/flip:" if icons else None),
        st.Page("pages/neurons.py", title="Neurons", icon=":material/hub:" if icons else None),
        st.Page("pages/tune.py", title="Tune", icon=":material/tune:" if icons else None),
        st.Page("pages/attack_lab.py", title="Attack lab", icon=":material/science:" if icons else None),
        st.Page("pages/challenge.py", title="Challenge", icon=":material/content_cut:" if icons else None),
        st.Page("pages/compare.py", title="Compare", icon=":material/compare_arrows:" if icons else None),
        st.Page("pages/export.py", title="Export", icon=":material/download:" if icons else None),
        st.Page("pages/results.py", title="Results", icon=":material/grid_on:" if icons else None),
    ]


def script_of(title: str) -> str:
    """The script of a page, for `st.switch_page` and `st.page_link`."""
    return f"pages/{title.lower().replace(' ', '_')}.py"


def path_of(title: str) -> str:
    """The path of a page in its address; empty for the first page."""
    return "" if title == "Start" else title.lower().replace(" ", "_")


_ENTERED = Event()


def entered() -> bool:
    """Whether app.py has been run since the server began."""
    return _ENTERED.is_set()


def menu(hidden: Hidden, alone: bool = False) -> Any:
    """Draw the menu of all pages but the hidden ones; returns the visitor's page, for app.py to run.

    Args:
        alone: whether the page stands without a menu, as in a slide.
    """
    seen = [_unseen(page) if hidden.page(page.title) else page for page in pages()]
    page = st.navigation(seen, position="hidden" if alone else "sidebar")
    _ENTERED.set()
    return page


def run(page: Any, hidden: Hidden) -> None:
    """Run the visitor's page, or say that their link hides it."""
    if not hidden.page(page.title):
        page.run()
        return
    st.title(page.title, anchor=False)
    shown = [other for other in pages() if not hidden.page(other.title)]
    way = "Choose another page in the menu." if shown else "Ask for another link."
    st.info(f"The link that you opened hides the page {page.title}. {way}", icon=":material/visibility_off:")
    if shown:
        st.page_link(_script(shown[0]), label=f"Go to {shown[0].title}")


def _script(page: Any) -> str:
    return f"pages/{page.url_path or 'start'}.py"


def _unseen(page: Any) -> Any:
    """The same page, reached by its address but not in the menu."""
    # The default page has no path of its own.
    default = not page.url_path
    return st.Page(_script(page), title=page.title, icon=page.icon or None, default=default, visibility="hidden")


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
