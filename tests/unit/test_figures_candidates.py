"""What a search found, as pictures: bars are sizes on one scale, words and marks say the rest, and nothing overlaps."""

import io
import itertools
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from invmask.data.classes import GTSRB
from invmask.data.images import CIFAR10
from invmask.defenses.family_texts import FAMILY_WORDS
from invmask.exports.book import entries_of
from invmask.exports.data import figure_csv
from invmask.exports.report import report
from invmask.figures.candidates import (
    BAR,
    ENOUGH,
    Card,
    Cards,
    candidate_pictures,
    family_words,
    full_size,
    lead_words,
    size_words,
)
from invmask.figures.lettering import LINE, text_width
from invmask.figures.palette import NEUTRAL, TEXT
from invmask.figures.paper import DRAWN_PAGE, DRAWN_WIDTH, for_column
from invmask.frames.candidates import search_cards
from invmask.frames.captions import caption
from invmask.frames.run_records import RunRecords, read_records
from tests.unit.run_helpers import small_spec, taken, write_victims
from tests.unit.searching import LEAD, finder_spec, register_finder

PATCH = FAMILY_WORDS["patch"]
NAME = "defend-candidates"


def cards(titles: list[str], **changes: object) -> Cards:
    """Sizes 10, 20, 30 and so on; the first stands out, the third leads too few images, the last was dropped."""
    generator = np.random.default_rng(0)
    made = [
        Card(title, generator.integers(0, 256, (8, 8, 3), np.uint8), 10.0 * (number + 1), 0.95)
        for number, title in enumerate(titles)
    ]
    made[0] = replace(made[0], stands_out=True)
    made[2] = replace(made[2], flips=ENOUGH - 0.01)
    made[-1] = replace(made[-1], searched=False)
    return replace(Cards(PATCH, tuple(made), 100.0, math.log(2)), **changes)


def bars(figure: go.Figure) -> list[tuple[float, bool]]:
    """Of each card how much of its bar is filled, and whether it is solid."""
    found = [shape for shape in figure.layout.shapes if math.isclose(abs(shape.y1 - shape.y0), BAR)]
    return [
        ((filled.x1 - filled.x0) / (whole.x1 - whole.x0), filled.fillcolor is not None)
        for whole, filled in zip(found[::2], found[1::2], strict=True)
    ]


@pytest.fixture
def records(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> RunRecords:
    register_finder(monkeypatch)
    write_victims(own_home / "victims")
    return read_records(taken(own_home, finder_spec(), 5))


def test_bars_are_sizes_on_one_fixed_scale_and_hollow_where_they_say_little():
    found = bars(candidate_pictures(cards(["a", "b", "c", "d", "e"]), "light"))
    assert [share for share, _ in found] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])
    assert [solid for _, solid in found] == [True, True, False, True, True]
    large = cards(["a", "b", "c", "d", "e"], full=25.0)
    assert [share for share, _ in bars(candidate_pictures(large, "light"))] == pytest.approx([0.4, 0.8, 1, 1, 1])
    none = replace(large, cards=(replace(large.cards[0], size=math.inf), *large.cards[1:]))
    assert bars(candidate_pictures(none, "light"))[0] == (1.0, False)


def test_what_stands_out_and_what_was_dropped_is_said_in_words_and_drawn():
    figure = candidate_pictures(cards(["a", "b", "c", "d", "e"]), "light")
    words = [note.text for note in figure.layout.annotations]
    assert [text for text in words if "stands out" in text] == [
        "10.0\N{NO-BREAK SPACE}px<br>flips 95 %<br><b>stands out</b>"
    ]
    assert [text for text in words if "dropped" in text] == ["50.0\N{NO-BREAK SPACE}px<br>flips 95 %<br>dropped"]
    pictures = [trace for trace in figure.data if isinstance(trace, go.Image)]
    assert [picture.opacity < 1 for picture in pictures] == [False] * 4 + [True]
    frames = [shape for shape in figure.layout.shapes if not math.isclose(abs(shape.y1 - shape.y0), BAR)]
    assert [(shape.line.color, shape.line.width > 1) for shape in frames] == [(TEXT["light"], True)] + [
        (NEUTRAL["light"], False)
    ] * 4


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("titles", [CIFAR10.classes, GTSRB[:12], GTSRB[:7], CIFAR10.classes[:3]], ids=len)
def test_every_line_is_in_the_figure_and_touches_no_other(titles: tuple[str, ...], wide: bool):
    figure = candidate_pictures(cards(list(titles)), "paper", wide)
    width, margin = (DRAWN_PAGE if wide else DRAWN_WIDTH), figure.layout.margin
    assert figure.layout.xaxis.range[1] == width - margin.l - margin.r
    # One unit of the axes is a pixel.
    assert figure.layout.yaxis.range[0] == pytest.approx(figure.layout.height - margin.t - margin.b, abs=1)
    boxes = []
    for note in figure.layout.annotations:
        lines = note.text.split("<br>")
        top = note.y - (note.font.size * LINE * len(lines) if note.yanchor == "bottom" else 0)
        for line in lines:
            text = re.sub("</?b>", "", line)
            boxes.append(
                (note.x, note.x + text_width(text, 12, bold=text != line), top, top + note.font.size * LINE, text)
            )
            top += note.font.size * LINE
    for left, right, top, bottom, text in boxes:
        assert left >= 0, text
        assert right <= width - margin.l, text
        assert top >= -margin.t, text
        assert bottom <= figure.layout.yaxis.range[0] + margin.b, text
    for one, other in itertools.combinations([box for box in boxes if box[4].strip()], 2):
        beside = one[1] <= other[0] or other[1] <= one[0]
        over = one[3] <= other[2] + 1 or other[3] <= one[2] + 1
        assert beside or over, (one, other)
    assert min(note.font.size for note in for_column(figure).layout.annotations) * 72 / 96 >= 7


def test_sizes_and_lead_are_said_in_words():
    assert size_words(6.125, PATCH) == "6.1\N{NO-BREAK SPACE}px"
    assert size_words(194.2, PATCH) == "194\N{NO-BREAK SPACE}px"
    assert size_words(12.04, FAMILY_WORDS["smooth"]) == "12.0/255"
    assert size_words(0.256, FAMILY_WORDS["warp"]) == "0.26\N{NO-BREAK SPACE}px"
    assert size_words(math.inf, PATCH) == "none yet"
    assert size_words(3.0, family_words("nobody's")) == "3.00"
    found = cards(["a", "b", "c"], lead=LEAD)
    assert lead_words(found) == "Smallest patch: a, 10.0\N{NO-BREAK SPACE}px. The next smallest is 2.9 times as large."
    assert lead_words(replace(found, lead=3.0)).endswith("The next smallest is 20 times as large.")
    assert lead_words(replace(found, lead=None)) == "Smallest patch: a, 10.0\N{NO-BREAK SPACE}px."
    # One that leads too few images is not the smallest yet, however small it is.
    few = tuple(replace(card, flips=0.5, stands_out=False) for card in found.cards)
    assert lead_words(replace(found, cards=(*few[:2], replace(few[2], flips=0.9)))).startswith(
        "Smallest patch: c, 30.0"
    )
    assert lead_words(replace(found, cards=few)) == "No patch leads enough images to a label yet."


def test_a_full_bar_depends_on_the_picture_alone():
    assert full_size("patch", 32, 32) == 102
    assert full_size("patch", 64, 64) == 410
    assert full_size("smooth", 32, 32) == full_size("smooth", 64, 64) == pytest.approx(25.6)
    assert full_size("warp", 32, 32) == pytest.approx(3.2)
    assert full_size("channels", 32, 32) == 1


def test_the_book_draws_what_the_run_found(records: RunRecords):
    (entry,) = entries_of(records, [NAME])
    found = search_cards(records.frame, records.classes)
    stored = records.run.candidates_at(5)
    assert found is not None
    assert stored is not None
    assert [card.title for card in found.cards] == list(CIFAR10.classes)
    assert [card.mark for card in found.cards] == ["", "", "stands out", *[""] * 5, "dropped", "dropped"]
    assert [card.tells for card in found.cards] == [number != 7 for number in range(10)]
    figure = entry.draw(records, "light")
    assert [share for share, _ in bars(figure)] == pytest.approx(np.minimum(1, stored.sizes / 102).tolist())
    pictures = [trace for trace in figure.data if isinstance(trace, go.Image)]
    assert all(np.array_equal(p.z, stored.portraits[place]) for place, p in enumerate(pictures))
    table = pd.read_csv(io.StringIO(figure_csv(figure)))
    labels = table[table.trace == "labels"]
    np.testing.assert_allclose(labels["pixels covered, px"], stored.sizes)
    np.testing.assert_allclose(labels["share led here"], stored.flips)
    assert labels["stands out"].tolist() == [number == 2 for number in range(10)]
    words = caption(entry, records)
    assert "Smallest patch: bird, 6.1\N{NO-BREAK SPACE}px. The next smallest is 2.9 times as large." in words
    page = report(records)
    assert entry.title in page
    assert "Smallest patch: bird" in page
    assert "<p>Likely backdoored, to label bird (probability 93 %). The probability assumes" in page


def test_a_run_that_did_not_search_has_no_such_figure(own_home: Path, monkeypatch: pytest.MonkeyPatch):
    register_finder(monkeypatch)
    write_victims(own_home / "victims")
    for spec in (small_spec(), finder_spec(search=0)):
        found = read_records(taken(own_home, spec, 2))
        assert NAME not in {entry.name for entry in entries_of(found)}
