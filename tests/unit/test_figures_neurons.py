"""The values in the Neurons page's charts and pictures, from numbers made up for the purpose."""

import numpy as np
import pytest

from invmask.exports.data import figure_table
from invmask.figures.agreement import Shared, shared_tops
from invmask.figures.channel_history import ChannelHistory, channel_history
from invmask.figures.heat import heat_pixels, overlay_pixels
from invmask.figures.measures import MEASURE_TITLES
from invmask.figures.network_map import COLUMNS, ChannelValues, colour_scale, network_map
from invmask.figures.rounds import phase_spans
from invmask.figures.top_curves import TopLine, top_curves
from tests.unit.test_figures_defend import Layer

LAYERS = (Layer("network.conv1", 3, 0), Layer("network.layer1.conv1", COLUMNS + 2, 3))
CHANNELS = COLUMNS + 5
THEMES = ("light", "dark", "paper")


def trace(figure, name):
    return next(trace for trace in figure.data if trace.name == name)


@pytest.mark.parametrize("theme", THEMES)
def test_the_map_has_a_square_for_each_channel_in_order(theme):
    values = np.linspace(0, 1, CHANNELS)
    values[1] = np.nan
    figure = network_map(LAYERS, ChannelValues(values, "Score"), theme, picked=[4], cut=[0, 5], restored=[6])
    squares = figure.data[0]
    assert squares.marker.symbol == "square"
    assert len(squares.x) == len({*zip(squares.x, squares.y, strict=True)}) == CHANNELS
    known = np.isfinite(values)
    assert np.allclose(np.array(squares.marker.color)[known], values[known], atol=1e-4)
    assert squares.marker.opacity[1] < squares.marker.opacity[0] == 1
    assert "not known yet" in squares.hovertext[1]
    assert squares.hovertext[5].startswith("<b>layer1.conv1</b>, channel 2<br>Score: ")
    # A layer of more channels than a row holds goes on in the next row.
    assert squares.x[3 + COLUMNS] == squares.x[3]
    assert squares.y[3 + COLUMNS] == squares.y[3] + 1
    for name, channels in (("picked", [4]), ("cut now", [0, 5]), ("restored by hand", [6])):
        marks = trace(figure, name)
        assert list(marks.x) == [squares.x[channel] for channel in channels]
        assert marks.hoverinfo == "skip"
    assert figure.layout.clickmode == "event+select"


def test_the_colour_scale_leaves_one_in_a_hundred_beyond():
    assert ChannelValues(np.array([0.2, 0.4]), "").limits == (0, 1)
    amounts = np.append(np.linspace(0, 1, 200), 1_000.0)
    low, high = ChannelValues(amounts, "", "amount").limits
    assert low == 0
    assert 0.9 < high <= 1
    assert ChannelValues(-amounts, "", "signed").limits == (-high, high)
    assert ChannelValues(np.full(3, np.nan), "", "amount").limits == (0, 1)
    assert ChannelValues(np.zeros(3), "", "signed").limits == (-1, 1)
    bar = network_map(LAYERS, ChannelValues(np.arange(CHANNELS) - 5.0, "Change, points", "signed", 1), "light")
    words = bar.data[0].marker.colorbar
    assert words.title.text == "Change, points"
    assert words.ticktext[0].startswith("≤ −")
    assert words.ticktext[2].startswith("≥ ")


@pytest.mark.parametrize("theme", THEMES)
def test_signed_colours_rest_in_the_middle(theme):
    places = [place for place, _ in colour_scale("signed", theme)]
    assert (places[0], places[len(places) // 2], places[-1]) == (0, 0.5, 1)
    assert places == sorted(set(places))


def top_lines():
    acc = TopLine(0.9, np.array([0.9, 0.88, 0.85]), np.array([[0.9, 0.8], [0.7, 0.6]]))
    return {"acc": acc, "asr": TopLine(1.0, np.array([1.0, 0.4, 0.1]), np.array([[0.95, 0.85]]))}


@pytest.mark.parametrize("wide", [True, False])
def test_the_curves_hold_the_first_channels_against_random_sets(wide):
    figure = top_curves([0, 1, 2, 3, 5], top_lines(), "score", "light", 2, wide)
    panels = {measure: [t for t in figure.data if t.meta == MEASURE_TITLES[measure]] for measure in ("acc", "asr")}
    lines = {measure: {t.name: list(t.y) for t in traces} for measure, traces in panels.items()}
    assert lines["asr"]["by score"] == [100, 40, 10]
    assert lines["acc"]["nothing cut"] == [90, 90, 90]
    # Of no channel there is no random set: all begin where nothing is cut.
    assert lines["acc"]["random sets, mean"] == [90, 85, 65]
    assert lines["acc"]["random sets, lowest"] == [90, 80, 60]
    assert lines["asr"]["random sets, highest"] == [100, 95]
    words = {annotation.text for annotation in figure.layout.annotations}
    assert {"original 90.0", "top 2: 85.0", "random 65.0", "top 2: 10.0"} <= words
    table = figure_table(figure)
    shown = table[(table["trace"] == "by score") & (table["panel"] == MEASURE_TITLES["asr"])]
    assert shown.iloc[:, 2].tolist() == [0, 1, 2]
    assert {shape.x0 for shape in figure.layout.shapes if shape.type == "line"} == {2}


def test_curves_that_are_still_measured_can_be_drawn():
    line = TopLine(0.9, np.array([0.9]), np.empty((0,)))
    figure = top_curves([0, 1, 2], {"acc": line}, "score", "dark", 2)
    assert {trace.name for trace in figure.data} == {"nothing cut", "by score"}
    assert {"top 0: 90.0"} <= {annotation.text for annotation in figure.layout.annotations}


def test_what_two_tops_share_is_shown_beside_chance():
    figure = shared_tops({"conductance": Shared(8, 1 / 3, 2), "effect alone": Shared(3, 0.3, 2)}, 20, "light")
    assert list(trace(figure, "shared with the score").x) == [8, 3]
    assert list(trace(figure, "by chance, mean").x) == [0.33, 0.3]
    assert list(trace(figure, "by chance, in 99 of 100 cases").x) == [2, 2]
    assert list(figure.layout.yaxis.ticktext) == ["conductance", "effect alone"]
    assert figure.layout.xaxis.range[1] > 20


def test_a_channels_history_has_every_round():
    values = np.linspace(0, 1, 6)
    history = ChannelHistory(values, 1 - values, values**2, np.ones(6))
    figure = channel_history(history, phase_spans(["initialise"] * 3 + ["minimise"] * 2), 20, "light", 4)
    assert np.allclose(trace(figure, "mask a").y, values)
    assert np.allclose(trace(figure, "pruned gate m").y, values**2)
    assert list(trace(figure, "selection s").x) == list(range(6))
    assert {"mask a", "selection s", "initialise", "minimise"} <= {a.text for a in figure.layout.annotations}


def test_heat_has_its_colours_at_its_ends():
    maps = np.array([[[-2.0, 0.0, 2.0, 9.0]]])
    pixels = heat_pixels(maps, 2.0, "light")
    assert pixels.shape == (1, 1, 4, 3)
    ends = [tuple(int(c[i : i + 2], 16) for i in (1, 3, 5)) for _, c in colour_scale("signed", "light")]
    middle = ends[len(ends) // 2]
    assert [tuple(pixel) for pixel in pixels[0, 0]] == [ends[0], middle, ends[-1], ends[-1]]
    assert heat_pixels(np.zeros((1, 2, 2)), 0.0, "dark").shape == (1, 2, 2, 3)


def test_an_overlay_leaves_grey_what_says_nothing():
    images = np.full((1, 2, 2, 3), (30, 60, 90), np.uint8)
    pixels = overlay_pixels(images, np.array([[[-1.0, 0.0], [0.0, 3.0]]]), "light")
    assert pixels[0, 0].tolist() == [[60, 60, 60]] * 2
    assert pixels[0, 1, 1].tolist() != [60, 60, 60]
