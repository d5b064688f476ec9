"""A thin colour bar above a map."""

from collections.abc import Sequence


def flat_colour_bar(title: str, ticks: Sequence[float], words: Sequence[str], length: float) -> dict[str, object]:
    """A thin colour bar above a map, over `length` of its width, with `words` at the `ticks`."""
    return {
        "orientation": "h",
        "x": 0,
        "xanchor": "left",
        "y": 1,
        "yanchor": "bottom",
        "ypad": 4,
        "xpad": 0,
        "len": length,
        "thickness": 8,
        "outlinewidth": 0,
        "ticks": "",
        "tickvals": list(ticks),
        "ticktext": list(words),
        "tickfont": {"size": 12},
        "title": {"text": title, "side": "top", "font": {"size": 13}},
    }
