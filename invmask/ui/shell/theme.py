"""The page's theme, and the only function that draws charts on screen."""

from collections.abc import Callable
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from invmask.figures.palette import VIEW_COLOURS, VIEW_COLOURS_DARK, VIEW_WORD_COLOURS, Theme
from invmask.figures.template import PLOTLY_CONFIG
from invmask.ui.parts.kept_chart import kept_chart
from invmask.ui.parts.save_figure import SAVE_STYLE, save_menu


def current_theme() -> Theme:
    """`light` or `dark`, as shown by the reader's browser; `light` until the browser has reported it."""
    return "dark" if st.context.theme.type == "dark" else "light"


def page_style() -> None:
    """Reduce Streamlit's empty margin around the page, because a projector has little room.

    Streamlit's own Stop button is hidden: it would leave the page half drawn, and would not stop a run.
    """
    own = _DARK_STYLE if current_theme() == "dark" else _LIGHT_STYLE
    own += _EMBEDDED_STYLE if st.context.is_embedded else ""
    # Not only a style element: Streamlit handles these separately and removes them for a moment at each redraw.
    with st.container(key="page-style"):
        st.html(f"<i hidden></i><style>{_PAGE_STYLE}{SAVE_STYLE}{own}</style>")


def chart(
    figure: go.Figure, key: str, alt: str | None = None, paper: Callable[[], go.Figure] | None = None, **more: Any
) -> Any:
    """Show a figure finished with `figures.template.finish`, and the save menu below it.

    Args:
        key: stays the same for the same place on the page; otherwise the chart would be created again and flicker.
        alt: what the figure shows, for screen readers.
        paper: draws the figure in the theme `paper`, if its layout differs there; None to save this figure in the
            colours of paper.
        more: further arguments of `st.plotly_chart`, such as `on_select`.

    Returns:
        What `st.plotly_chart` returns.
    """
    with st.container(gap="xxsmall"):
        chosen = st.plotly_chart(figure, key=key, config=PLOTLY_CONFIG, theme=None, alt=alt, **more)
        save_menu(figure, key, paper)
    return chosen


def live_chart(figure: go.Figure, key: str, alt: str, paper: Callable[[], go.Figure]) -> None:
    """Like `chart`, for figures whose data change while one looks at them; see `kept_chart`."""
    with st.container(gap="xxsmall"):
        kept_chart(figure, key, alt)
        save_menu(figure, key, paper)


def view_hex(view: str) -> str:
    """The view's colour in the current theme."""
    return (VIEW_COLOURS_DARK if current_theme() == "dark" else VIEW_COLOURS)[view]


def view_word_hex(view: str) -> str:
    """The view's colour for words in the current theme."""
    return (VIEW_COLOURS_DARK if current_theme() == "dark" else VIEW_WORD_COLOURS)[view]


_PAGE_STYLE = """
[data-testid="stMainBlockContainer"]{padding:4rem 2.5rem 3rem;max-width:1480px}
[data-testid="stHeading"] h1{padding:0 0 .5rem}
[data-testid="stMetricLabel"] p{white-space:normal}
.st-key-page-style{position:absolute}
[data-testid="stStatusWidget"] button{display:none}
:is([data-testid="stMain"],[data-testid="stSidebar"]) :is(button,a,[role=radio],[role=slider]):focus-visible{
 outline:2px solid currentColor;outline-offset:2px}
.st-key-defend-map .draglayer>.xy .nsewdrag{cursor:pointer!important}
[data-testid="stSidebar"] [data-testid="stSelectbox"] [data-baseweb="select"]{font-size:.88rem}
@media (max-width:1100px){[data-testid="stMainBlockContainer"]{padding-left:1.5rem;padding-right:1.5rem}}
@media (max-width:640px){
:is([class*="st-key-one-row-"],[class*="st-key-two-a-row-"]) [data-testid="stHorizontalBlock"]{gap:.6rem}
[class*="st-key-one-row-"] [data-testid="stColumn"]{min-width:0;flex:1 1 28%}
[class*="st-key-two-a-row-"] [data-testid="stColumn"]{min-width:0;flex:1 1 44%}
:is([class*="st-key-one-row-"],[class*="st-key-two-a-row-"]) [data-testid="stMetricValue"]{font-size:1.5rem}}
"""
# In a slide (embed=true) there is room for the page alone. Its settings are drawn all the same, for it to read.
_EMBEDDED_STYLE = """
[data-testid="stSidebar"],[data-testid="stExpandSidebarButton"]{display:none}
[data-testid="stMainBlockContainer"]{padding-top:1.5rem}
"""
_LIGHT_STYLE = """
[data-testid="stCaptionContainer"]{color:#4B5563!important;opacity:1!important}
[role="radio"][aria-checked="true"],[role="toolbar"] button[aria-pressed="true"]{color:#1D4ED8!important}
"""
# The primary colour suits buttons with white text; as a text colour it has to be lighter.
_DARK_STYLE = """
[data-testid="stCaptionContainer"]{color:#B6BDC8!important;opacity:1!important}
[role="radio"][aria-checked="true"],[role="toolbar"] button[aria-pressed="true"],[data-testid="stSliderThumbValue"],
[class*="st-key-save-menu-"] button:is(:hover,[aria-expanded=true]){color:#93C5FD!important}
"""
