"""The map of all channels for a stage: it fills the room it is given, and leaves out the counts of each layer."""

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from invmask.figures.channels import (
    ChannelState,
    Layer,
    cell_places,
    heatmap_cells,
    layer_counts,
    map_colour_bar,
    map_ranges,
    map_scale,
    short_names,
)
from invmask.figures.lettering import shortened
from invmask.figures.palette import VIEW_COLOURS_DARK, VIEW_WORD_COLOURS, Theme
from invmask.figures.ramps import SELECTED_COLOURS
from invmask.figures.template import finish

LOWEST = 280
"""The least height in pixels that names are made for; on a page the map takes the height of its place."""
MOST_ROWS, WIDTHS = 45, (64, 128, 256, 512, 1024)
_LETTERS, _LONGEST_NAME = 12, 130
_TOP, _BOTTOM = 44, 4


def stage_columns(layers: Sequence[Layer]) -> int:
    """Cells per row: the smallest of `WIDTHS` with which the map has at most `MOST_ROWS` rows, or one a layer."""
    most = max(MOST_ROWS, len(layers))
    rows = {width: sum(-(-layer.channels // width) for layer in layers) for width in WIDTHS}
    return next((width for width in WIDTHS if rows[width] <= most), WIDTHS[-1])


def stage_map(state: ChannelState, quantity: str, theme: Theme) -> go.Figure:
    """Every channel as a small cell, coloured by a quantity, and the counts of the whole network above.

    The figure is `LOWEST` pixels high, and may be drawn in any height above.

    Args:
        quantity: one of `channels.QUANTITIES`.
    """
    columns = stage_columns(state.layers)
    x, y, centres, bottom = cell_places(state.layers, columns)
    cells = heatmap_cells(state, quantity, x, y, columns)
    gap = 2 if columns <= WIDTHS[1] else 1
    figure = go.Figure(cells.update(xgap=gap, ygap=gap))
    across, down = map_ranges(columns, bottom)
    axis: dict[str, Any] = {"showgrid": False, "zeroline": False, "showline": False, "fixedrange": True}
    figure.update_xaxes(range=across, visible=False, **axis)
    names = [shortened(name, _LONGEST_NAME, _LETTERS) for name in short_names(state.layers)]
    named = _named(centres, bottom)
    figure.update_yaxes(
        range=down,
        tickvals=[centres[place] for place in named],
        ticktext=[names[place] for place in named],
        tickfont={"size": _LETTERS},
        ticks="",
        automargin=True,
        **axis,
    )
    _add_totals(figure, state, theme)
    figure.update_layout(
        coloraxis={
            "colorscale": map_scale(quantity, theme),
            "cmin": 0,
            "cmax": 1,
            "colorbar": map_colour_bar(quantity, 0.4) | {"title": None},
        },
        margin={"l": 8, "r": 4, "t": _TOP, "b": _BOTTOM},
    )
    return finish(figure, theme, LOWEST)


def _named(centres: Sequence[float], bottom: float) -> list[int]:
    """The layers whose names have room, at the least height of the map."""
    apart = bottom * (_LETTERS + 1) / (LOWEST - _TOP - _BOTTOM)
    found: list[int] = []
    for place, centre in enumerate(centres):
        if not found or centre - centres[found[-1]] >= apart:
            found.append(place)
    return found


def _add_totals(figure: go.Figure, state: ChannelState, theme: Theme) -> None:
    """How many channels are selected, pruned, and cut in the inverse view, in their colours."""
    counts, words = layer_counts(state), VIEW_COLOURS_DARK if theme == "dark" else VIEW_WORD_COLOURS
    kinds = [
        (f"{sum(count.selected for count in counts):,} selected", SELECTED_COLOURS[theme]),
        (f"{sum(count.pruned for count in counts):,} pruned", words["pruned"]),
        (f"{sum(count.inverse_cut for count in counts):,} cut in inverse", words["inverse"]),
    ][0 if state.selects else 1 :]
    told = " · ".join(f'<span style="color:{colour}">{text}</span>' for text, colour in kinds)
    figure.add_annotation(
        text=f"{told} of {len(state.mask):,}",
        x=1,
        y=1,
        xref="paper",
        yref="paper",
        xanchor="right",
        yanchor="bottom",
        yshift=24,
        showarrow=False,
        font={"size": 12},
    )
