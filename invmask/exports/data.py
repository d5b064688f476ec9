"""The numbers behind a figure as a table, read from the figure itself: one row per point, pixel or cell."""

import base64
import html
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go

if TYPE_CHECKING:
    import pandas as pd

_TAGS = re.compile(r"<(?!br)[^>]*>")
_BREAKS = re.compile(r"<br\s*/?>")
_LISTS = ("base", "width", "text", "hovertext", "values", "labels", "open", "high", "low", "close")
_GRIDS = {"heatmap", "contour", "surface"}


def figure_table(figure: go.Figure) -> "pd.DataFrame":
    """All traces of a figure as one table in long format.

    Returns:
        Columns: `panel` (a trace's `meta`) if the figure has several panels; `trace` (its name); x and y, named by
            their axes' titles if all panels agree, with `%` if the ticks are in per cent. Further columns exist if a
            trace has them: `± y` (half of an error bar), `base` and `width` of bars, the colour's number (named by the
            colour bar's title), `size`, `text`, `hovertext`, `detail 1` and so on (custom data of each point), `z` of
            heatmaps, and `red`, `green`, `blue` of pictures. If a trace's `meta` is a dictionary of columns, the table
            has these columns instead, because the trace's own coordinates are only layout.
    """
    # Only here, because pandas would be a good part of what the dashboard's first page loads.
    import pandas as pd

    parts = [
        pd.DataFrame(columns) for number, trace in enumerate(figure.data) for columns in _parts(figure, trace, number)
    ]
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame({"trace": []})
    names = {axis: _axis_name(figure, axis) for axis in ("x", "y")}
    return table.rename(columns={axis: name for axis, name in names.items() if name not in table.columns})


def figure_csv(figure: go.Figure) -> str:
    """`figure_table` as CSV with a header."""
    return figure_table(figure).to_csv(index=False, lineterminator="\n")


def _parts(figure: go.Figure, trace: Any, number: int) -> Iterator[dict[str, Any]]:
    """The columns of one trace, if it has any points."""
    name = plain(trace.name) if trace.name else f"{trace.type} {number + 1}"
    if isinstance(trace.meta, dict):
        yield {"trace": [name] * len(next(iter(trace.meta.values()))), **trace.meta}
        return
    columns = _pixels(trace) if trace.type == "image" else _grid(trace) if trace.type in _GRIDS else _points(trace)
    if trace.type not in ("image", *_GRIDS):
        columns |= _placed(figure, columns) | _spread(trace) | _colours(figure, trace)
    length = max((len(values) for values in columns.values()), default=0)
    if length:
        panel = {"panel": [trace.meta] * length} if isinstance(trace.meta, str) else {}
        yield {**panel, "trace": [name] * length, **{key: _fitted(v, length) for key, v in columns.items()}}


def _points(trace: Any) -> dict[str, Any]:
    """The values at each point, for traces that are lists of points."""
    columns: dict[str, Any] = {}
    for key in ("x", "y", "z", *_LISTS):
        values = _list(trace, key)
        if values is not None:
            columns[key] = [plain(v) if isinstance(v, str) else v for v in values]
    details = _list(trace, "customdata")
    if details is not None:
        table = np.asarray(details, dtype=object)
        for place, column in enumerate(table.T if table.ndim == 2 else [table], 1):
            columns[f"detail {place}"] = list(column)
    return columns


def _placed(figure: go.Figure, columns: dict[str, Any]) -> dict[str, Any]:
    """Replace x by its meaning if `layout.meta["x"]` gives one; it lists the values at positions 0, 1, 2, ..."""
    stands_for = (figure.layout.meta or {}).get("x")
    if stands_for is None or "x" not in columns:
        return {}
    return {"x": [stands_for[round(place)] for place in columns["x"]]}


def _spread(trace: Any) -> dict[str, Any]:
    bars = trace["error_y"] if "error_y" in trace else None  # noqa: SIM401
    values = None if bars is None else _list(bars, "array")
    return {} if values is None else {"± y": list(values)}


def _colours(figure: go.Figure, trace: Any) -> dict[str, Any]:
    marker = trace["marker"] if "marker" in trace else None  # noqa: SIM401  (plotly's have no get)
    if marker is None:
        return {}
    columns: dict[str, Any] = {}
    for key in ("color", "size"):
        values = _list(marker, key)
        if values is not None:
            columns[_colour_name(figure, marker) if key == "color" else "size"] = list(values)
    return columns


def _colour_name(figure: go.Figure, marker: Any) -> str:
    bar = marker.colorbar if marker.coloraxis is None else figure.layout[marker.coloraxis].colorbar
    return plain(bar.title.text or "") or "colour"


def _pixels(trace: Any) -> dict[str, Any]:
    if trace.z is None:
        return {}
    pixels = np.asarray(trace.z)
    y, x = np.mgrid[: pixels.shape[0], : pixels.shape[1]]
    names = ("red", "green", "blue")
    return {"x": x.ravel(), "y": y.ravel(), **{name: pixels[..., i].ravel() for i, name in enumerate(names)}}


def _grid(trace: Any) -> dict[str, Any]:
    cells = np.asarray(trace.z)
    across = np.arange(cells.shape[1]) if trace.x is None else np.asarray(trace.x)
    down = np.arange(cells.shape[0]) if trace.y is None else np.asarray(trace.y)
    return {"x": np.tile(across, len(down)), "y": np.repeat(down, len(across)), "z": cells.ravel()}


def _list(part: Any, key: str) -> Any:
    """The values of a list property; None if it is missing, or is a single value for all points."""
    value = part[key] if key in part else None  # noqa: SIM401
    if isinstance(value, dict) and "bdata" in value:
        # The binary form in which plotly sends arrays to the browser and keeps arrays that were read back.
        flat = np.frombuffer(base64.b64decode(value["bdata"]), dtype=value["dtype"])
        return flat.reshape([int(n) for n in str(value["shape"]).split(",")]) if "shape" in value else flat
    return value if isinstance(value, tuple | list | np.ndarray) else None


def _fitted(values: Any, length: int) -> list[Any]:
    values = list(values)
    return values + [None] * (length - len(values))


def _axis_name(figure: go.Figure, axis: str) -> str:
    found = [figure.layout[key] for key in figure.layout if re.fullmatch(rf"{axis}axis\d*", key)]
    titles = {plain(one.title.text) for one in found if one.title.text}
    name = titles.pop() if len(titles) == 1 else axis
    per_cent = all(str(one.ticksuffix or "").strip() == "%" or _last_tick(one).endswith("%") for one in found)
    return f"{name}, %" if found and per_cent and not name.endswith("%") else name


def _last_tick(axis: Any) -> str:
    return str(axis.ticktext[-1]) if axis.ticktext is not None and len(axis.ticktext) else ""


def plain(text: str) -> str:
    """Text without plotly's markup."""
    return html.unescape(_TAGS.sub("", _BREAKS.sub("; ", text))).strip()
