"""What a search found for each label: a picture of the synthesized trigger, its size on one scale, and the lead."""

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
"""The share of images led to a label from which the size of its synthesized trigger says something."""
STANDS_OUT, DROPPED = "stands out", "dropped"
# What a full bar is: of a patch a share of the picture's pixels, of a smooth change of the range of a pixel's values,
# of a warp of the picture's side, of channels what their cut costs in nats. Fixed, so that lengths compare from round
# to round and from run to run.
_FULL_PATCH, _FULL_SMOOTH, _FULL_WARP, _FULL_CHANNELS = 0.1, 0.1, 0.1, 1.0
MARGIN, GAP = 4, 14
"""Pixels around the figure, and between two cards."""
MOST, MOST_WIDE = 5, 10
"""Cards beside each other in one column of a paper, and across two."""
EDGE = 1.5
"""Half the line around what stands out."""
BAR = 6
"""Height of a bar in pixels."""
_LINES = 3
_DIM = 0.4
# From here on a size has no decimals: it is far from what stands out, and there is no room for them.
_LARGE = 99.95


@dataclass(frozen=True)
class Card:
    """One label.

    Attributes:
        title: the label's name.
        portrait: uint8 [h, w, C], a picture of its synthesized trigger.
        size: in the family's unit; infinite where there is none yet.
        flips: the share in [0, 1] of the images that it leads to the label.
        searched: whether the label is still looked at.
        stands_out: whether it is the one whose synthesized trigger is smaller than the others' by enough.
    """

    title: str
    portrait: np.ndarray
    size: float
    flips: float
    searched: bool = True
    stands_out: bool = False

    @property
    def tells(self) -> bool:
        """Whether enough images are led here for the size to say something."""
        return self.flips >= ENOUGH and math.isfinite(self.size)

    @property
    def mark(self) -> str:
        """What is said of it in a word or two; empty for most."""
        return STANDS_OUT if self.stands_out else "" if self.searched else DROPPED


@dataclass(frozen=True)
class Cards:
    """All labels that a round of a search shows.

    Attributes:
        family: the kind of trigger that the round looked for, in words.
        cards: in the order of the labels.
        full: the size of a full bar, in the family's unit.
        lead: the logarithm of how many times the next label's size is the smallest one's; None where that is not known.
    """

    family: FamilyWords
    cards: tuple[Card, ...]
    full: float
    lead: float | None

    def share(self, card: Card) -> float:
        """How much of its bar is filled, in [0, 1]; what is larger than a full bar fills it."""
        return min(1.0, card.size / self.full)


def family_words(name: str) -> FamilyWords:
    """The family of that name in words; one that is not known goes by its name."""
    return FAMILY_WORDS.get(name, FamilyWords(name, "its size", "", 2))


def full_size(name: str, height: int, width: int) -> float:
    """What a full bar of that family is, in its unit, on pictures of so many pixels."""
    if name == "smooth":
        return 256 * _FULL_SMOOTH
    if name == "channels":
        return _FULL_CHANNELS
    return _FULL_WARP * max(height, width) if name == "warp" else float(round(_FULL_PATCH * height * width))


def size_words(size: float, family: FamilyWords) -> str:
    """`6.1 px`, `194 px` or `12.0/255`, with a space that does not break."""
    if not math.isfinite(size):
        return "none yet"
    return f"{size:.{family.digits if size < _LARGE else 0}f}{unit_words(family)}"


def unit_words(family: FamilyWords) -> str:
    """What stands behind a number: the unit, with a space that does not break before it where one belongs there."""
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
    """The cards as small multiples: title, picture, bar, then size, share of images and mark in words.

    Args:
        wide: for two columns of a paper.
    """
    cards, across = found.cards, (DRAWN_PAGE if wide else DRAWN_WIDTH) - 2 * MARGIN
    columns = _columns(len(cards), MOST_WIDE if wide else MOST)
    # The pictures of few cards are not larger than those of many.
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
    """How many stand beside each other, so that all rows but the last are full and that one nearly."""
    return math.ceil(count / math.ceil(count / most))


def _picture(card: Card, left: float, top: float, side: float) -> go.Image:
    height, width, _ = card.portrait.shape
    # Plotly knows no grey pictures.
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
    """The full length, and what the size fills of it: hollow where too few images are led here."""
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
    """Nothing to see: the numbers behind the cards, for the table that can be taken away."""
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
