"""The common style of all figures: on the light page, on the dark page, and on paper."""

from functools import lru_cache
from typing import Any

import plotly.graph_objects as go

from invmask.figures.palette import GRID, NEUTRAL, SEQUENCE, TEXT, Theme

FONT = "Source Sans, Source Sans Pro, system-ui, -apple-system, Segoe UI, Roboto, Helvetica, Arial, sans-serif"
PAPER_FONT = "Arial, Helvetica, Liberation Sans, DejaVu Sans, sans-serif"
MARGIN = {"l": 56, "r": 16, "t": 36, "b": 44}

PLOTLY_CONFIG: dict[str, Any] = {
    "displaylogo": False,
    # Without this, plotly offers to upload figures to a cloud service.
    "showSendToCloud": False,
    "displayModeBar": "hover",
    "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d", "zoomIn2d", "zoomOut2d"],
    "toImageButtonOptions": {"format": "svg", "filename": "invmask", "scale": 1},
    "responsive": True,
}
"""The options of every chart on screen; the camera button saves SVG."""


@lru_cache(maxsize=3)
def template(theme: Theme) -> go.layout.Template:
    """The template of `theme`: transparent background for `light` and `dark`, white for `paper`."""
    background = "#FFFFFF" if theme == "paper" else "rgba(0,0,0,0)"
    family = PAPER_FONT if theme == "paper" else FONT
    axis = {
        "gridcolor": GRID[theme],
        "linecolor": NEUTRAL[theme],
        "tickcolor": NEUTRAL[theme],
        "zerolinecolor": GRID[theme],
        "zerolinewidth": 1,
        "tickfont": {"size": 13},
        "title": {"font": {"size": 14}, "standoff": 8},
        "automargin": False,
    }
    layout = go.Layout(
        font={"family": family, "size": 14, "color": TEXT[theme]},
        title={"font": {"size": 16}, "x": 0, "xanchor": "left", "y": 0.98, "yanchor": "top", "pad": {"l": 2}},
        paper_bgcolor=background,
        plot_bgcolor=background,
        colorway=list(SEQUENCE[theme]),
        margin=MARGIN,
        xaxis=axis,
        yaxis=axis,
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "font": {"size": 13}},
        hoverlabel={"font": {"family": FONT, "size": 13}, "align": "left"},
        hovermode="closest",
        bargap=0.25,
        modebar={"bgcolor": "rgba(0,0,0,0)", "color": NEUTRAL[theme], "activecolor": TEXT[theme]},
    )
    return go.layout.Template(layout=layout)


def panel_title(figure: go.Figure, text: str, row: int, axis: str, theme: Theme, size: int = 14) -> None:
    """Write a panel's title over its left end.

    Args:
        row: the panel's row, from 1; the first row leaves room for names of phases below the title.
        axis: suffix of the panel's axis names, "" for the first panel.
        size: of the letters, in pixels.
    """
    figure.add_annotation(
        text=text,
        x=0,
        y=1,
        xref=f"x{axis} domain",
        yref=f"y{axis} domain",
        xanchor="left",
        yanchor="bottom",
        yshift=16 if row == 1 else 3,
        showarrow=False,
        font={"size": size, "color": TEXT[theme]},
    )


def finish(figure: go.Figure, theme: Theme, height: int) -> go.Figure:
    """Give a figure the look of `theme` and a fixed height in pixels; changed in place and returned.

    A redrawn figure keeps the reader's zoom. Its height does not depend on the data.
    """
    return figure.update_layout(template=template(theme), height=height, autosize=True, uirevision="keep")
