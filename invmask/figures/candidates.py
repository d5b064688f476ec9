"""The candidates of a search: for each label a picture of the synthesized trigger and its size; and the lead."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from invmask.defenses.family_texts import FAMILY_WORDS, FamilyWords
from invmask.figures.lettering import LINE, shortened
from invmask.figures.palette import GRID, NEUTRAL, TEXT, Theme
from invmask.figures.paper import DRAWN_PAGE, DRAWN_WIDTH, LETTERS
from invmask.figures.pictures import frame
from invmask.figures.template import finish

ENOUGH = 0.8
"""The share of images led to a label from which the size of its synthesized trigger is meaningful."""
STANDS_OUT, DROPPED = "stands out", "dropped"
# The size of a full bar. Patch: a share of the picture's pixels. Smooth change: a share of the range of pixel values.
# Warp: a share of the picture's side. Channels: the cost of their cut in nats. The sizes are fixed, so that bars can be
# compared between rounds and runs.
_FULL_PATCH, _FULL_SMOOTH, _FULL_WARP, _FULL_CHANNELS = 0.1, 0.1, 0.1, 1.0
MARGIN, GAP = 4, 14
"""Margin around the figure, and gap between two cards, in pixels."""
MOST, MOST_WIDE = 5, 10
"""Maximum number of cards per row, in one column of a paper and in two."""
EDGE = 1.5
"""Half the width of the line around a card that stands out."""
BAR = 6
"""Height of a bar in pixels."""
_LINES = 3
_DIM = 0.4
# Sizes from here on have no decimals: they are far from standing out, and there is no room for decimals.
_LARGE = 99.95


@dataclass(frozen=True)
class Card:
    """The card of one label.

    Attributes:
        title: the label's name.
        portrait: uint8 [h, w, C], a picture of its synthesized trigger.
        size: size of the trigger in the family's unit; infinite if there is no trigger yet.
        flips: share of images in [0, 1] that the trigger leads to the label.
        searched: whether the label is still searched.
        stands_out: whether the label's trigger is clearly smaller than all others.
    """

    title: str
    portrait: np.ndarray
    size: float
    flips: float
    searched: bool = True
    stands_out: bool = False

    @property
    def tells(self) -> bool:
        """Whether enough images are led to the label for the size to be meaningful."""
        return self.flips >= ENOUGH and math.isfinite(self.size)

    @property
    def mark(self) -> str:
        """A note of one or two words; empty for most labels."""
        return STANDS_OUT if self.stands_out else "" if self.searched else DROPPED


@dataclass(frozen=True)
class Cards:
    """The cards of all labels that a round of a search shows.

    Attributes:
        family: the texts of the family of triggers that the round searched.
        cards: the cards in the order of the labels.
        full: the size of a full bar, in the family's unit.
        lead: log of the second smallest size over the smallest size, in nats; None if not known.
    """

    family: FamilyWords
    cards: tuple[Card, ...]
    full: float
    lead: float | None

    def share(self, card: Card) -> float:
        """The filled share of the card's bar, in [0, 1]; 1 for sizes beyond a full bar."""
        return min(1.0, card.size / self.full)


def family_words(name: str) -> FamilyWords:
    """The texts of the family of that name; an unknown family is called by its name."""
    return FAMILY_WORDS.get(name, FamilyWords(name, "its size", "", 2))


def full_size(name: str, height: int, width: int) -> float:
    """The size of that family's full bar, in its unit, for pictures of `height` x `width` pixels."""
    if name == "smooth":
        return 256 * _FULL_SMOOTH
    if name == "channels":
        return _FULL_CHANNELS
    return _FULL_WARP * max(height, width) if name == "warp" else float(round(_FULL_PATCH * height * width))


def size_words(size: float, family: FamilyWords) -> str:
    """`6.1 px`, `194 px` or `12.0/255`, with a non-breaking space."""
    if not math.isfinite(size):
        return "none yet"
    return f"{size:.{family.digits if size < _LARGE else 0}f}{unit_words(family)}"


def unit_words(family: FamilyWords) -> str:
    """The unit after a number, with a non-breaking space before it if it needs one."""
    return family.unit if family.unit.startswith("/") or not family.unit else f"\N{NO-BREAK SPACE}{family.unit}"


def lead_words(found: Cards) -> str:
    """`Smallest patch: airplane, 6.1 px. The next needs 2.9 times as much.`"""
    chosen = [card for card in found.cards if card.stands_out] or [card for card in found.cards if card.tells]
    if not chosen:
        return f"No {found.family.title} leads enough images to a label yet."
    smallest = min(chosen, key=lambda card: card.size)
    words = f"Smallest {found.family.title}: {smallest.title}, {size_words(smallest.size, found.family)}."
    if found.lead is None:
        return words
    times = math.exp(min(found.lead, 50.0))
    return f"{words} The next smallest is {times:,.{0 if times >= 9.95 else 1}f} times as large."


def candidate_pictures(found: Cards, theme: Theme, wide: bool = False) -> go.Figure:
    """The cards as small multiples: title, picture, bar, then size, share of images and note.

    Args:
        wide: for two columns of a paper.
    """
    cards, across = found.cards, (DRAWN_PAGE if wide else DRAWN_WIDTH) - 2 * MARGIN
    columns = _columns(len(cards), MOST_WIDE if wide else MOST)
    # Pictures have the same size for few cards as for many.
    side = (across - 2 * EDGE + GAP) / max(columns, MOST) - GAP
    line = LETTERS * LINE
    step = side + BAR + 3 * MARGIN + (1 + _LINES) * line + GAP
    figure, shapes = go.Figure(), []
    for number, card in enumerate(cards):
        left, top = EDGE + number % columns * (side + GAP), number // columns * step + line + MARGIN
        figure.add_trace(_picture(card, left, top, side))
        edge = frame(left, top, side, theme)
        if card.stands_out:
            edge["line"] = {"color": TEXT[theme], "width": 2 * EDGE}
        shapes += [edge, *_bar(found, card, left, top + side + MARGIN, side, theme)]
        colour = TEXT[theme] if card.searched else NEUTRAL[theme]
        _write(
            figure,
            f"<b>{shortened(card.title, min(side + GAP - 2, across - left), LETTERS, bold=True)}</b>",
            left,
            top - MARGIN,
            colour,
            "bottom",
        )
        mark = f"<b>{card.mark}</b>" if card.stands_out else card.mark
        said = [size_words(card.size, found.family), f"flips {100 * card.flips:.0f} %", mark or " "]
        _write(figure, "<br>".join(said), left, top + side + BAR + 2 * MARGIN, colour, "top")
    figure.add_trace(_numbers(found))
    height = math.ceil(len(cards) / columns) * step - GAP + 2 * MARGIN
    figure.update_xaxes(range=[0, across], visible=False, constrain="domain", constraintoward="left", fixedrange=True)
    figure.update_yaxes(
        range=[height - 2 * MARGIN, 0],
        visible=False,
        scaleanchor="x",
        constrain="domain",
        constraintoward="top",
        fixedrange=True,
    )
    figure.update_layout(shapes=shapes, margin=dict.fromkeys("lrtb", MARGIN), showlegend=False)
    return finish(figure, theme, round(height))


def _columns(count: int, most: int) -> int:
    """Number of cards per row, so that all rows are full and the last one nearly full."""
    return math.ceil(count / math.ceil(count / most))


def _picture(card: Card, left: float, top: float, side: float) -> go.Image:
    height, width, _ = card.portrait.shape
    # Plotly cannot draw grey pictures, so the channel is repeated.
    colours = np.broadcast_to(card.portrait, (height, width, 3))
    return go.Image(
        name=card.title,
        z=colours.tolist(),
        x0=left + side / width / 2,
        dx=side / width,
        y0=top + side / height / 2,
        dy=side / height,
        opacity=1.0 if card.searched else _DIM,
        hoverinfo="skip",
        zsmooth=False,
    )


def _bar(found: Cards, card: Card, left: float, top: float, side: float, theme: Theme) -> list[dict[str, object]]:
    """The full bar, and the part that the size fills; hollow if too few images are led to the label."""
    colour = TEXT[theme] if card.stands_out else NEUTRAL[theme]
    of_full = {"type": "rect", "x0": left, "x1": left + side, "y0": top, "y1": top + BAR}
    filled = {**of_full, "x1": left + side * found.share(card), "line": {"color": colour, "width": 1}}
    if card.tells:
        filled["fillcolor"] = colour
    opacity = 1.0 if card.searched else _DIM
    return [{**of_full, "fillcolor": GRID[theme], "line": {"width": 0}}, {**filled, "opacity": opacity}]


def _write(figure: go.Figure, text: str, left: float, top: float, colour: str, anchor: str) -> None:
    figure.add_annotation(
        text=text,
        x=left,
        y=top,
        xanchor="left",
        xshift=-1,
        yanchor=anchor,
        align="left",
        borderpad=0,
        showarrow=False,
        font={"size": LETTERS, "color": colour},
    )


def _numbers(found: Cards) -> go.Scatter:
    """An invisible trace with the numbers behind the cards, for the table that can be exported."""
    cards: Sequence[Card] = found.cards
    size = f"{found.family.measure}, {found.family.unit}" if found.family.unit else found.family.measure
    columns = {
        "family": [found.family.title] * len(cards),
        "label": [card.title for card in cards],
        size: [card.size if math.isfinite(card.size) else None for card in cards],
        "share led here": [card.flips for card in cards],
        "searched": [card.searched for card in cards],
        STANDS_OUT: [card.stands_out for card in cards],
    }
    return go.Scatter(name="labels", x=[None], y=[None], mode="markers", hoverinfo="skip", meta=columns)
