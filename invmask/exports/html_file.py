"""A figure as a self-contained HTML page, which opens without a server and without internet access."""

import html

import plotly.graph_objects as go
import plotly.io

from invmask.figures.template import PLOTLY_CONFIG

MISSING = "This page needs the file {} beside it: unpack the whole archive, then open it again."


def figure_page(figure: go.Figure, title: str, caption: str, library: str | None = None) -> str:
    """A whole HTML page, the figure as wide as the window.

    Args:
        library: the name of a file beside the page that holds plotly.js; None puts plotly.js into the page (4.8 MB).
    """
    body = figure_part(figure, with_library=library is None)
    if library is not None:
        missing = html.escape(f"this.insertAdjacentText('afterend', '{MISSING.format(library)}')")
        body = f'<script src="{html.escape(library)}" charset="utf-8" onerror="{missing}"></script>{body}'
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        "<style>body{margin:2rem auto;max-width:60rem;padding:0 1rem;font-family:Arial,Helvetica,sans-serif;"
        "line-height:1.45;color:#111827}figure{margin:0}figcaption{font-size:.85rem}</style></head><body>"
        f"<figure>{body}<figcaption>{html.escape(caption)}</figcaption></figure></body></html>"
    )


def figure_part(figure: go.Figure, with_library: bool) -> str:
    """The figure as a `div`; `with_library` puts plotly.js before it."""
    return plotly.io.to_html(
        figure,
        config={key: value for key, value in PLOTLY_CONFIG.items() if key != "modeBarButtonsToRemove"},
        include_plotlyjs=with_library,
        include_mathjax=False,
        full_html=False,
        default_width="100%",
        default_height=f"{figure.layout.height or 400}px",
    )
