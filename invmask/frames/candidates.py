"""The candidates of a run's search at a round, as shown on the page Defend and in the book of figures."""

from collections.abc import Sequence

import plotly.graph_objects as go

from invmask.figures.candidates import Card, Cards, candidate_pictures, family_words, full_size, lead_words
from invmask.figures.palette import Theme
from invmask.frames.frame import Frame
from invmask.frames.run_records import RunRecords


def search_cards(frame: Frame, classes: Sequence[str]) -> Cards | None:
    """The cards of the frame's round, or of the last search round before it; None if there was none."""
    if not frame.capabilities.searches:
        return None
    found, shapes = frame.run.candidates_at(frame.round), frame.run.shapes()
    if found is None or shapes is None:
        return None
    cards = tuple(
        Card(
            title=classes[label],
            portrait=found.portraits[place],
            size=float(found.sizes[place]),
            flips=float(found.flips[place]),
            searched=bool(found.searched[place]),
            stands_out=label == found.standing_out,
        )
        for place, label in enumerate(map(int, found.labels))
    )
    _, height, width = shapes.image
    return Cards(family_words(found.family), cards, full_size(found.family, height, width), found.lead)


def has_candidates(records: RunRecords) -> bool:
    """Whether the run has candidates at its round."""
    return search_cards(records.frame, records.classes) is not None


def candidates_figure(records: RunRecords, theme: Theme) -> go.Figure:
    """The cards of the round as small multiples."""
    found = search_cards(records.frame, records.classes)
    assert found is not None
    return candidate_pictures(found, theme, records.wide_in(theme))


def lead_sentence(records: RunRecords) -> str:
    """Which label's synthesized trigger is the smallest, and by how much."""
    found = search_cards(records.frame, records.classes)
    assert found is not None
    return lead_words(found)
