"""Figures of pictures: all words are in the figure, and none is on another."""

import itertools
import re
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
import pytest

from invmask.data.classes import GTSRB, TINY_IMAGENET
from invmask.data.images import CIFAR10
from invmask.figures.lettering import LINE, shortened, text_width
from invmask.figures.palette import NEUTRAL, Theme
from invmask.figures.paper import DRAWN_PAGE, DRAWN_WIDTH, for_column
from invmask.figures.pictures import GAP, Heat, PictureRow, Tile, picture_rows

VIEWS = ("Original", "Pruned", "Inverse")
IMAGE, MAP = np.zeros((32, 32, 3), np.uint8), Heat(np.zeros((4, 4)))
ABSURD = tuple(f"no passing for vehicles with a permissible mass over {mass} tonnes" for mass in (3.5, 7.5))


def answers(classes: Sequence[str], columns: Sequence[str]) -> go.Figure:
    rows = [
        PictureRow(f"true class: {name}", [IMAGE] * len(columns), [f"{view}: {name}, 100.0 %" for view in VIEWS])
        for name in classes
    ]
    return picture_rows(rows, columns, "paper")


def maps(classes: Sequence[str]) -> go.Figure:
    pictures: list[Tile] = [IMAGE, MAP] * 3
    rows = [
        PictureRow(f"true class: {name}", pictures, ["means, left to right:", "−0.12, 10.25, −10.31"])
        for name in classes
    ]
    return picture_rows(rows, ["clean", "map", "triggered", "map", "synth.", "map"], "paper", "activation")


FIGURES = {
    "tiny": answers(TINY_IMAGENET, ["clean", "change ×1000", "perturbed"]),
    "signs": answers(GTSRB, ["clean", "triggered"]),
    "usual": answers(CIFAR10.classes, ["clean", "change ×20", "perturbed"]),
    "maps": maps(CIFAR10.classes),
    "absurd": answers(ABSURD, ["clean", "change ×20", "perturbed"]),
    "absurd maps": maps(ABSURD),
    "absurd, one": answers(ABSURD, ["triggered"]),
}


def boxes(figure: go.Figure) -> list[tuple[float, float, float, float, str]]:
    """Left, right, top and bottom of every line of words in pixels of the figure, and the line."""
    low, high = figure.layout.yaxis.range
    top, area = figure.layout.margin.t, figure.layout.height - figure.layout.margin.t - figure.layout.margin.b
    scale = area / (low - high)
    assert (DRAWN_WIDTH - 8) / figure.layout.xaxis.range[1] == pytest.approx(scale, rel=0.01)
    found = []
    for words in figure.layout.annotations:
        size, lines = words.font.size, words.text.split("<br>")
        x = figure.layout.margin.l + words.x * scale + (words.xshift or 0)
        y = top + (words.y - high) * scale - (words.yshift or 0)
        y -= size * LINE * len(lines) / (2 if words.yanchor == "middle" else 1)
        for line in lines:
            text = re.sub("</?b>", "", line)
            width = text_width(text, size, bold=text != line)
            left = x if words.xanchor == "left" else x - width / 2
            found.append((left, left + width, y, y + size * LINE, text))
            y += size * LINE
    return found


@pytest.mark.parametrize("name", FIGURES)
def test_every_line_is_in_the_figure_and_touches_no_other(name: str):
    found = boxes(FIGURES[name])
    for left, right, top, bottom, text in found:
        assert left >= -0.5, text
        assert right <= DRAWN_WIDTH + 0.5, text
        assert top >= -0.5, text
        assert bottom <= FIGURES[name].layout.height + 0.5, text
    for one, other in itertools.combinations(found, 2):
        beside = one[1] + 2 <= other[0] or other[1] + 2 <= one[0]
        over = one[3] <= other[2] + 1 or other[3] <= one[2] + 1
        assert beside or over, (one, other)


@pytest.mark.parametrize("name", FIGURES)
def test_letters_have_seven_points_in_print_and_pictures_stay_square_and_apart(name: str):
    figure = FIGURES[name]
    assert min(words.font.size for words in for_column(figure).layout.annotations) * 72 / 96 >= 7
    tops = sorted({trace.y0 for trace in figure.data if isinstance(trace, go.Image)})
    assert all(below - above >= 32 * (1 + GAP) - 1e-6 for above, below in itertools.pairwise(tops))
    assert figure.layout.yaxis.scaleanchor == "x"


@pytest.mark.parametrize("name", FIGURES)
def test_names_are_whole_where_they_fit_and_a_probability_always(name: str):
    lines = [text for *_, text in boxes(FIGURES[name])]
    assert any("…" in text for text in lines) == name.startswith("absurd")
    said = [text for text in lines if text.startswith(VIEWS)]
    assert all(text.endswith(", 100.0 %") for text in said)
    assert bool(said) == ("maps" not in name)


@pytest.mark.parametrize("theme", ["light", "dark", "paper"])
@pytest.mark.parametrize("wide", [False, True])
def test_every_picture_has_a_thin_frame_just_around_it(theme: Theme, wide: bool):
    rows = [PictureRow("true class: cat", [IMAGE, MAP, Heat(np.ones((32, 32)), IMAGE)], ["Original"])] * 5
    figure = picture_rows(rows, ["image", "map", "veil"], theme, "activation", wide)
    frames = [(shape.x0, shape.x1, shape.y0, shape.y1) for shape in figure.layout.shapes]
    assert len(set(frames)) == len(frames) == 15
    assert {(shape.line.color, shape.line.width <= 1) for shape in figure.layout.shapes} == {(NEUTRAL[theme], True)}
    for trace in figure.data:
        # Pixels are squares about whole numbers, cells of a map about their centres.
        dx, cells = (trace.dx, np.asarray(trace.z).shape[1]) if isinstance(trace, go.Heatmap) else (1, 32)
        left, top = trace.x0 - dx / 2, trace.y0 - dx / 2
        assert any(np.allclose((left, left + cells * dx, top, top + cells * dx), each) for each in frames)


def test_on_two_columns_rows_stand_beside_each_other():
    rows = [PictureRow("true class: cat", [IMAGE, IMAGE], ["Original: cat, 100.0 %"])] * 6
    narrow, wide = (picture_rows(rows, ["clean", "triggered"], "paper", wide=each) for each in (False, True))
    assert len({trace.x0 for trace in wide.data}) == 2 * len({trace.x0 for trace in narrow.data}) == 4
    assert 2 * len({trace.y0 for trace in wide.data}) == len({trace.y0 for trace in narrow.data}) == 6
    assert wide.layout.height < 0.6 * narrow.layout.height
    # A picture is as large as in one column, and so are the letters.
    scales = [across / figure.layout.xaxis.range[1] for figure, across in ((narrow, 412), (wide, DRAWN_PAGE - 8))]
    assert scales[1] == pytest.approx(scales[0], rel=0.01)
    assert {words.font.size for words in wide.layout.annotations} == {12}
    assert [words.text for words in wide.layout.annotations].count("clean") == 2


def test_short_words_leave_pictures_their_size():
    figure = answers(["cat"], ["clean", "triggered"])
    assert figure.layout.height == 76 + 28
    assert all(words.yshift in (None, 3) for words in figure.layout.annotations)


def test_a_long_line_keeps_its_ends():
    line = "Original: no passing for vehicles over 3.5 tonnes, 98.2 %"
    cut = shortened(line, 200, 12)
    assert re.fullmatch(r"Original: no \w.*….*onnes, 98\.2 %", cut)
    assert text_width(cut, 12) <= 200
    assert shortened(line, 1000, 12) == line
    assert shortened("true class: " + "x" * 99 + "; still fooled", 180, 12).endswith("; still fooled")
    assert shortened(line, 1, 12) == "…, 98.2 %"


@pytest.mark.parametrize(
    ("text", "bold", "pixels"),
    [
        ("true class: automobile", True, 151.4),
        ("true class: right of way at next crossing", True, 269.8),
        ("Original: European fire salamander, 100.0 %", False, 267.3),
        ("change ×1000", False, 88.6),
        ("triggered", False, 55.3),
    ],
)
def test_words_are_as_wide_as_in_the_widest_font_of_print(text: str, bold: bool, pixels: float):
    """Measured in DejaVu Sans, 12 pixels high."""
    assert 0.99 * pixels <= text_width(text, 12, bold) <= 1.12 * pixels
    assert text_width("猫" * 9, 12) >= 9 * 12
