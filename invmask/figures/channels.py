"""The map of all channels by layer, and how many of each layer are selected, pruned, or cut in the inverse view."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from invmask.figures.colour_bar import flat_colour_bar
from invmask.figures.lettering import room_for, shortened
from invmask.figures.palette import NEUTRAL, TEXT, Theme, view_colour
from invmask.figures.ramps import SELECTED_COLOURS, gate_scale, selection_scale
from invmask.figures.template import finish

QUANTITIES = {
    "selection": "Selection 1 − s",
    "pruned": "Pruned gate m",
    "inverse": "Inverse gate m\u0304",
}
"""The quantities that the map's colour can show, by name."""
GATES = ("pruned", "inverse")
"""The quantities that exist if a defence does not select channels."""

ROW_HEIGHT = 13
LAYER_GAP = 0.45
LONGEST_NAME = 230
"""Longest name in one column of a paper, in pixels (forty letters); longer names are shortened in the middle."""
SHARE_STEPS = (10, 25, 50, 100)


class Layer(Protocol):
    """A masked layer, see `masks.state.MaskedLayer`."""

    @property
    def name(self) -> str: ...
    @property
    def channels(self) -> int: ...
    @property
    def offset(self) -> int: ...


@dataclass(frozen=True)
class ChannelState:
    """The state of every channel of a network at one round.

    Attributes:
        layers: the masked layers in module order.
        mask, selection, pruned_gate, inverse_gate: a, s, m, m-bar; float [channels] in [0, 1].
        selects: whether the defence selects channels; otherwise s is 0 for all channels and is not shown.
    """

    layers: Sequence[Layer]
    mask: np.ndarray
    selection: np.ndarray
    pruned_gate: np.ndarray
    inverse_gate: np.ndarray
    selects: bool = True

    def colours(self, quantity: str) -> np.ndarray:
        """The number behind each channel's colour for one of `QUANTITIES`, [channels] in [0, 1]."""
        return {"selection": 1 - self.selection, "pruned": self.pruned_gate, "inverse": self.inverse_gate}[quantity]


@dataclass(frozen=True)
class LayerCounts:
    """How many channels of one layer are selected (s < 0.5), pruned (m < 0.5), cut in the inverse (m-bar < 0.5)."""

    name: str
    channels: int
    selected: int
    pruned: int
    inverse_cut: int


def layer_counts(state: ChannelState) -> list[LayerCounts]:
    """The counts of every layer, in order."""
    counts = []
    for layer, name in zip(state.layers, short_names(state.layers), strict=True):
        where = slice(layer.offset, layer.offset + layer.channels)
        counts.append(
            LayerCounts(
                name,
                layer.channels,
                selected=int((state.selection[where] < 0.5).sum()),
                pruned=int((state.pruned_gate[where] < 0.5).sum()),
                inverse_cut=int((state.inverse_gate[where] < 0.5).sum()),
            )
        )
    return counts


def short_names(layers: Sequence[Layer]) -> list[str]:
    """The layers' names without their common prefix of modules."""
    names = [layer.name for layer in layers]
    modules = names[0].split(".")[:-1]
    while modules and not all(name.startswith(".".join(modules) + ".") for name in names):
        modules.pop()
    cut = len(".".join(modules)) + 1 if modules else 0
    return [name[cut:] for name in names]


def channel_map(
    state: ChannelState, quantity: str, theme: Theme, columns: int | None = None, wide: bool = False
) -> go.Figure:
    """Every channel as a small cell, coloured by one of `QUANTITIES`, and each layer's counts as bars beside it.

    Args:
        columns: cells per row; a larger layer takes several rows. None: chosen by the network's size.
        wide: for two columns of a paper.

    On paper the cells are bars, which are vector shapes in print. On screen they are a heatmap, which a browser draws
    several times faster, because the map is redrawn every second while a run is under way.
    """
    columns = columns or _columns(len(state.mask), wide)
    x, y, centres, bottom = cell_places(state.layers, columns)
    figure = make_subplots(rows=1, cols=2, shared_yaxes=True, column_widths=[0.74, 0.26], horizontal_spacing=0.025)
    cells = _bars(state, quantity, x, y) if theme == "paper" else heatmap_cells(state, quantity, x, y, columns)
    figure.add_trace(cells, row=1, col=1)
    narrow = theme == "paper" and not wide
    heights = _layer_heights(state.layers, columns)
    _add_counts(figure, layer_counts(state), centres, heights, theme, narrow, state.selects)
    axis = {"showgrid": False, "zeroline": False, "showline": False}
    across, down = map_ranges(columns, bottom)
    figure.update_xaxes(range=across, visible=False, fixedrange=True, row=1, col=1)
    figure.update_yaxes(range=down, fixedrange=True, **axis)
    names = short_names(state.layers)
    if narrow:
        names = [shortened(name, LONGEST_NAME, 12) for name in names]
    figure.update_yaxes(tickvals=centres, ticktext=names, tickfont={"size": 12}, ticks="", row=1, col=1)
    figure.update_layout(
        showlegend=False,
        barmode="overlay",
        coloraxis={
            "colorscale": map_scale(quantity, theme),
            "cmin": 0,
            "cmax": 1,
            "colorbar": map_colour_bar(quantity, 0.4 if narrow else 0.5),
        },
        margin={"l": room_for(names, 12), "r": 20, "t": 58, "b": 46},
    )
    return finish(figure, theme, map_height(state.layers, columns))


def map_height(layers: Sequence[Layer], columns: int | None = None) -> int:
    """The height in pixels of `channel_map` for these layers."""
    columns = columns or _columns(sum(layer.channels for layer in layers))
    return 104 + round(ROW_HEIGHT * cell_places(layers, columns)[3])


def cell_places(layers: Sequence[Layer], columns: int) -> tuple[np.ndarray, np.ndarray, list[float], float]:
    """Left and top edge of each channel's cell, the vertical centre of each layer, and the bottom of the map."""
    x, y, centres, top = [], [], [], 0.0
    for layer in layers:
        number = np.arange(layer.channels)
        x.append(number % columns)
        y.append(top + number // columns)
        rows = -(-layer.channels // columns)
        centres.append(top + rows / 2)
        top += rows + LAYER_GAP
    return np.concatenate(x), np.concatenate(y), centres, top


def channel_at(layers: Sequence[Layer], across: float, down: float, columns: int | None = None) -> int | None:
    """The channel at a position on the map that `channel_map` draws on screen; None if there is none.

    Args:
        across, down: the position, from 0 at the left and top edge of the map to 1 at the right and bottom edge.
        columns: as in `channel_map`.
    """
    columns = columns or _columns(sum(layer.channels for layer in layers))
    left, top, _, bottom = cell_places(layers, columns)
    (x0, x1), (y1, y0) = map_ranges(columns, bottom)
    x, y = x0 + across * (x1 - x0), y0 + down * (y1 - y0)
    found = np.flatnonzero((left <= x) & (x < left + 1) & (top <= y) & (y < top + 1))
    return int(found[0]) if len(found) else None


def map_scale(quantity: str, theme: Theme) -> list[tuple[float, str]]:
    """The colour scale of one of `QUANTITIES`."""
    return selection_scale(theme) if quantity == "selection" else gate_scale(quantity, theme)


def map_ranges(columns: int, bottom: float) -> tuple[tuple[float, float], tuple[float, float]]:
    """The ranges of the map's two axes; the second one runs from top to bottom."""
    return (-0.3, columns + 0.3), (bottom - 0.1, -0.35)


def _columns(channels: int, wide: bool = False) -> int:
    return 64 if channels <= (1200 if wide else 2400) else 128


def _layer_heights(layers: Sequence[Layer], columns: int) -> list[int]:
    return [-(-layer.channels // columns) for layer in layers]


def _bars(state: ChannelState, quantity: str, x: np.ndarray, y: np.ndarray) -> go.Bar:
    return go.Bar(
        name="channels",
        orientation="h",
        base=x,
        x=np.full(len(x), 0.86),
        y=y,
        offset=0.07,
        width=0.86,
        marker={"color": np.round(state.colours(quantity), 3), "coloraxis": "coloraxis", "line": {"width": 0}},
        hovertext=_hover_texts(state),
        hovertemplate="%{hovertext}<extra></extra>",
    )


def heatmap_cells(state: ChannelState, quantity: str, x: np.ndarray, y: np.ndarray, columns: int) -> go.Heatmap:
    """The cells as a heatmap. An empty row separates two layers, and the unused end of a row is empty."""
    tops = np.unique(y)
    edges = np.sort(np.concatenate([tops, tops + 1]))
    edges = edges[np.concatenate([[True], np.diff(edges) > 1e-6])]
    rows = np.searchsorted(edges, y - 1e-6)
    values = np.full((len(edges) - 1, columns), np.nan)
    values[rows, x] = np.round(state.colours(quantity), 3)
    texts = np.full(values.shape, "", dtype=object)
    texts[rows, x] = _hover_texts(state)
    return go.Heatmap(
        name="channels",
        z=values,
        x=np.arange(columns + 1),
        y=edges,
        text=texts,
        xgap=2,
        ygap=2,
        hoverongaps=False,
        hovertemplate="%{text}<extra></extra>",
        coloraxis="coloraxis",
    )


def _hover_texts(state: ChannelState) -> list[str]:
    names = short_names(state.layers)
    layer_of = [name for layer, name in zip(state.layers, names, strict=True) for _ in range(layer.channels)]
    number = np.concatenate([np.arange(layer.channels) for layer in state.layers])
    return [
        f"<b>{name}</b>, channel {channel}<br>mask a {a:.2f}{f' · selection s {s:.2f}' if state.selects else ''}"
        f"<br>pruned m {m:.2f} · inverse m\u0304 {b:.2f}"
        for name, channel, a, s, m, b in zip(
            layer_of, number, state.mask, state.selection, state.pruned_gate, state.inverse_gate, strict=True
        )
    ]


def _add_counts(
    figure: go.Figure,
    counts: Sequence[LayerCounts],
    centres: Sequence[float],
    heights: Sequence[int],
    theme: Theme,
    narrow: bool,
    selects: bool,
) -> None:
    """Bars of each layer in the right panel: shares of the layer's channels, on an axis that grows in steps.

    Args:
        narrow: whether the figure is for one column of a paper, which has little room for words.
        selects: whether the share of selected channels is shown.
    """
    kinds = (
        ("selected", SELECTED_COLOURS[theme], [c.selected for c in counts]),
        ("pruned", view_colour("pruned", theme), [c.pruned for c in counts]),
        ("cut in inverse", view_colour("inverse", theme), [c.inverse_cut for c in counts]),
    )[0 if selects else 1 :]
    channels = np.array([c.channels for c in counts])
    largest = 0.0
    for place, (title, colour, values) in enumerate(kinds):
        share = 100 * np.array(values) / channels
        largest = max(largest, float(share.max()))
        thickness = np.array(heights) * 0.9 / len(kinds)
        figure.add_trace(
            go.Bar(
                name=title,
                orientation="h",
                x=share,
                y=np.array(centres) - np.array(heights) * 0.45 + place * thickness,
                offset=0,
                width=thickness,
                marker={"color": colour, "line": {"width": 0}},
                customdata=np.array([[c.name for c in counts], values, channels], dtype=object).T,
                hovertemplate="<b>%{customdata[0]}</b><br>%{customdata[1]} of %{customdata[2]} channels "
                + title
                + " (%{x:.1f} %)<extra></extra>",
            ),
            row=1,
            col=2,
        )
        figure.add_annotation(
            text=f"{sum(values):,} {title}",
            # One column of a paper, and a phone, have too little room for the words, so they extend to the left.
            x=1,
            y=1,
            xref="x2 domain",
            yref="paper",
            xanchor="right",
            xshift=0 if narrow else 14,
            yanchor="bottom",
            yshift=17 * (len(kinds) - place) - 11,
            showarrow=False,
            font={"size": 13, "color": colour},
        )
    end = next(step for step in SHARE_STEPS if largest <= step)
    marks = [0, end / 2] if narrow else [0, end / 2, end]
    figure.update_xaxes(range=[0, end], fixedrange=True, showgrid=True, row=1, col=2)
    words = [f"{mark:g} %" for mark in marks]
    figure.update_xaxes(tickvals=marks, ticktext=words, tickangle=0, tickfont={"size": 12}, row=1, col=2)
    figure.update_yaxes(showticklabels=False, ticks="", row=1, col=2)
    figure.add_annotation(
        text="of the layer's channels",
        x=1,
        y=0,
        xref="x2 domain",
        yref="paper",
        xanchor="right",
        yanchor="top",
        yshift=-17,
        showarrow=False,
        font={"size": 12, "color": NEUTRAL[theme]},
    )
    figure.update_layout(font={"color": TEXT[theme]})


def map_colour_bar(quantity: str, length: float) -> dict[str, object]:
    """The colour bar of one of `QUANTITIES`, see `flat_colour_bar`."""
    ends = ["0 left alone", "1 selected"] if quantity == "selection" else ["0 cut", "1 passes"]
    return flat_colour_bar(QUANTITIES[quantity], [0.0, 1.0], ends, length)
