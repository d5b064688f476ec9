"""Colours with one meaning on every screen and in every figure; safe for colour-blind readers.

Colour alone never carries meaning: each view also has its own title, marker and line style.
"""

from collections.abc import Mapping
from typing import Literal

from invmask import glossary

Theme = Literal["light", "dark", "paper"]
"""`light` and `dark` are for the page's own background; `paper` is for print, on white."""

VIEW_COLOURS: Mapping[str, str] = {
    "original": "#6B7280",
    "pruned": "#2563EB",
    "inverse": "#EA580C",
    "repaired": "#0F766E",
}
"""The views' colours on a light background."""

VIEW_COLOURS_DARK: Mapping[str, str] = {
    "original": "#A8B0BD",
    "pruned": "#6EA3FF",
    "inverse": "#FB8B4B",
    "repaired": "#2DD4BF",
}
"""The same hues, lighter, with a contrast of at least 4.5 : 1 on the dark theme's background."""

VIEW_WORD_COLOURS: Mapping[str, str] = {
    "original": "#4B5563",
    "pruned": "#1D4ED8",
    "inverse": "#C2410C",
    "repaired": "#0F766E",
}
"""The same hues, darker, for words on a light background: a contrast of at least 4.5 : 1 also on a tinted ground."""

VIEW_TITLES: Mapping[str, str] = {
    "original": "Original",
    "pruned": "Pruned",
    "inverse": "Inverse",
    "repaired": "Repaired",
}
VIEW_EXPLANATIONS: Mapping[str, str] = {
    **{view: glossary.text(view) for view in ("original", "pruned", "inverse")},
    "repaired": "The network with the weights that the defence has changed.",
}
VIEW_MARKERS: Mapping[str, str] = {"original": "circle", "pruned": "square", "inverse": "diamond", "repaired": "square"}
VIEW_DASHES: Mapping[str, str] = {"original": "dot", "pruned": "solid", "inverse": "dash", "repaired": "solid"}

NEUTRAL: Mapping[str, str] = {"light": "#6B7280", "dark": "#A8B0BD", "paper": "#4B5563"}
"""The colour of secondary elements: rules, second lines, and lines that are not views."""

TEXT: Mapping[str, str] = {"light": "#1F2937", "dark": "#E5E7EB", "paper": "#111827"}
GROUND: Mapping[str, str] = {"light": "#FFFFFF", "dark": "#0F131A", "paper": "#FFFFFF"}
"""The background of figures, also used behind words that cross a grid line."""
GRID: Mapping[str, str] = {"light": "#E5E7EB", "dark": "#30363F", "paper": "#E5E7EB"}

SEQUENCE: Mapping[str, tuple[str, ...]] = {
    # For series that are not views, such as loss terms: Okabe and Ito's colours without the views' hues.
    "light": ("#0F766E", "#7C3AED", "#B45309", "#BE185D", "#0369A1", "#4D7C0F"),
    "dark": ("#2DD4BF", "#B794F6", "#FBBF24", "#F472B6", "#38BDF8", "#A3E635"),
    "paper": ("#0F766E", "#7C3AED", "#B45309", "#BE185D", "#0369A1", "#4D7C0F"),
}


def view_colour(view: str, theme: Theme = "light") -> str:
    """The colour of `view` (original, pruned, inverse, repaired) on the background of `theme`, as #RRGGBB."""
    return VIEW_COLOURS_DARK[view] if theme == "dark" else VIEW_COLOURS[view]
