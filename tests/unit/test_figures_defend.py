"""The values in the Defend page's charts, from records made up for the purpose."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from invmask.figures.attack_sheet import SheetColumn, attack_sheet
from invmask.figures.channels import ChannelState, channel_at, channel_map, layer_counts, map_height, short_names
from invmask.figures.inner import SHARES, flip_labels, inner_curves
from invmask.figures.losses import TermWords, loss_curves
from invmask.figures.measures import measure_curves
from invmask.figures.palette import GROUND
from invmask.figures.ramps import gate_scale, oklab, ramp, selection_scale
from invmask.figures.rounds import axis_end, nice_ceiling, phase_spans, spread_labels, thinned
from invmask.figures.triggers import amplification, trigger_tiles


@dataclass(frozen=True)
class Layer:
    name: str
    channels: int
    offset: int


LAYERS = (Layer("network.conv1", 3, 0), Layer("network.layer1.0.conv1", 5, 3))
STATE = ChannelState(
    layers=LAYERS,
    mask=np.array([1, 1, 0, 0, 1, 1, 0.5, 1]),
    selection=np.array([1, 1, 0, 0.2, 0.4, 1, 0.5, 0]),
    pruned_gate=np.array([1, 1, 0, 0.2, 1, 1, 0.75, 1]),
    inverse_gate=np.array([1, 1, 1, 1, 0.4, 1, 0.75, 0]),
)
TITLES = {"initialise": ("Initialise", "Init."), "minimise": ("Minimise", "Min."), "sparsify": ("Sparsify", "Spars.")}
THEMES = ("light", "dark", "paper")


def bars(figure, name):
    return next(trace for trace in figure.data if trace.name == name)


def texts(figure):
    return [annotation.text for annotation in figure.layout.annotations]


@pytest.mark.parametrize(
    ("quantity", "values"),
    [("selection", 1 - STATE.selection), ("pruned", STATE.pruned_gate), ("inverse", STATE.inverse_gate)],
)
def test_the_map_shows_every_channel_with_its_number(quantity, values):
    cells = bars(channel_map(STATE, quantity, "paper"), "channels")
    assert len(cells.x) == 8
    np.testing.assert_allclose(cells.marker.color, values, atol=1e-3)
    assert "layer1.0.conv1</b>, channel 1" in cells.hovertext[4]
    assert "selection s 0.40" in cells.hovertext[4]


def test_the_map_gives_each_channel_a_place_of_its_own():
    cells = bars(channel_map(STATE, "selection", "paper", columns=4), "channels")
    places = list(zip(cells.base, cells.y, strict=True))
    assert len(set(places)) == 8
    assert {y for _, y in places[3:]} == {cells.y[3], cells.y[3] + 1}


def test_every_cell_of_the_map_is_known_by_its_channel():
    figure = channel_map(STATE, "pruned", "light", columns=4)
    cells, (left, right), (bottom, top) = figure.data[0], figure.layout.xaxis.range, figure.layout.yaxis.range
    across = (np.convolve(cells.x, [0.5, 0.5], "valid") - left) / (right - left)
    down = (np.convolve(cells.y, [0.5, 0.5], "valid") - top) / (bottom - top)
    found = {}
    for row, texts in enumerate(cells.text):
        for column, text in enumerate(texts):
            channel = channel_at(STATE.layers, across[column], down[row], columns=4)
            assert (channel is None) == (text == "")
            if channel is not None:
                layer = next(layer for layer in reversed(STATE.layers) if layer.offset <= channel)
                name = layer.name.removeprefix("network.")
                assert text.startswith(f"<b>{name}</b>, channel {channel - layer.offset}<br>")
                found[channel] = text
    assert sorted(found) == list(range(len(STATE.mask)))
    assert channel_at(STATE.layers, 0.0, 99.0) is None


def test_the_map_on_screen_has_the_same_cells_as_on_paper():
    paper = bars(channel_map(STATE, "pruned", "paper", columns=4), "channels")
    screen = bars(channel_map(STATE, "pruned", "light", columns=4), "channels")
    cells = {}
    for row, (top, values, texts) in enumerate(zip(screen.y[:-1], screen.z, screen.text, strict=True)):
        here = np.flatnonzero(~np.isnan(values))
        cells |= {(column, round(top, 2)): (values[column], texts[column]) for column in here}
        if len(here):
            assert screen.y[row + 1] - top == pytest.approx(1)
    expected = zip(paper.base, paper.y, paper.marker.color, paper.hovertext, strict=True)
    assert cells == {(column, round(y, 2)): (value, text) for column, y, value, text in expected}


def test_the_map_counts_channels_past_one_half():
    first, second = layer_counts(STATE)
    assert (first.selected, first.pruned, first.inverse_cut) == (1, 1, 0)
    # One half exactly is not selected.
    assert (second.selected, second.pruned, second.inverse_cut) == (3, 1, 2)
    figure = channel_map(STATE, "selection", "light")
    np.testing.assert_allclose(bars(figure, "selected").x, [100 / 3, 60])
    np.testing.assert_allclose(bars(figure, "pruned").x, [100 / 3, 20])
    np.testing.assert_allclose(bars(figure, "cut in inverse").x, [0, 40])
    assert {"4 selected", "2 pruned", "2 cut in inverse"} <= set(texts(figure))


def test_of_a_defence_that_selects_no_channels_the_map_says_nothing_of_selection():
    figure = channel_map(replace(STATE, selects=False), "pruned", "light")
    assert [trace.name for trace in figure.data[1:]] == ["pruned", "cut in inverse"]
    assert not any("select" in text for text in texts(figure))
    assert not any("selection" in text for text in np.ravel(figure.data[0].text))
    np.testing.assert_allclose(bars(figure, "pruned").x, [100 / 3, 20])


def test_the_map_is_as_high_whatever_it_shows():
    nothing = ChannelState(LAYERS, *(np.ones(8) for _ in range(4)))
    heights = {
        channel_map(state, q, "light").layout.height for state in (STATE, nothing) for q in ("selection", "pruned")
    }
    assert heights == {map_height(LAYERS)}


def test_layer_names_lose_what_all_share():
    assert short_names(LAYERS) == ["conv1", "layer1.0.conv1"]
    assert short_names((Layer("a.conv", 1, 0),)) == ["conv"]
    assert short_names((Layer("conv", 1, 0), Layer("convx", 1, 1))) == ["conv", "convx"]


@pytest.mark.parametrize("theme", THEMES)
def test_colour_scales_climb_evenly_in_lightness(theme):
    for scale in (selection_scale(theme), gate_scale("pruned", theme), gate_scale("inverse", theme)):
        assert [place for place, _ in scale] == pytest.approx(np.linspace(0, 1, len(scale)))
        steps = np.diff([oklab(colour)[0] for _, colour in scale])
        assert (np.sign(steps) == np.sign(steps[0])).all()
        assert steps == pytest.approx(steps.mean(), abs=0.005)
        assert abs(steps.sum()) > 0.2


def test_a_ramp_begins_and_ends_where_it_is_told():
    scale = ramp("#ffffff", "#123456")
    assert (scale[0][1], scale[-1][1]) == ("#ffffff", "#123456")


def test_measures_are_drawn_in_per_cent_on_a_fixed_axis():
    values = {
        "acc": {"original": np.array([0.9, 0.9]), "pruned": np.array([0.9, 0.855]), "inverse": np.array([0.9, 0.1])},
        "asr": {"original": np.array([1.0, 1.0]), "pruned": np.array([1.0, 0.02]), "inverse": np.array([1.0, 0.95])},
    }
    figure = measure_curves(np.array([0, 1]), values, phase_spans(["initialise"]), 20, "light")
    assert len(figure.data) == 6
    assert list(figure.data[1].y) == [90.0, 85.5]
    assert "Pruned 85.5" in texts(figure)
    assert "Inverse 95.0" in texts(figure)
    assert not any("RA" in text for text in texts(figure))
    assert figure.layout.yaxis.range == figure.layout.yaxis2.range == (-3, 103)
    assert figure.layout.xaxis.range == (0, 20)


def test_curves_mark_phases_and_the_round_shown():
    spans = phase_spans(["initialise"] * 30 + ["minimise"] * 30 + ["sparsify"] * 2, TITLES)
    assert [(span.phase, span.first, span.last) for span in spans] == [
        ("initialise", 1, 30),
        ("minimise", 31, 60),
        ("sparsify", 61, 62),
    ]
    rounds, ones = np.arange(1, 63), np.ones(62)
    figure = loss_curves(rounds, {"total": ones}, {}, spans, 100, "light", shown=7)
    assert {shape.x0 for shape in figure.layout.shapes} == {30.5, 60.5, 7}
    assert {"Initialise", "Minimise"} <= set(texts(figure))
    assert "Sparsify" not in texts(figure), "there is no room for the name yet"
    assert len(loss_curves(rounds, {"total": ones}, {}, spans, 100, "light").layout.shapes) < len(figure.layout.shapes)


def test_every_loss_term_has_a_panel_from_the_first_round_on():
    words = {
        name: TermWords(name, since=since) for name, since in (("one", ""), ("other", "the next one"), ("third", ""))
    }
    early = loss_curves(np.array([1]), {"total": np.array([2.0])}, words, phase_spans(["initialise"]), 20, "light")
    terms = {name: np.array([0.5, 1.5]) for name in ("total", *words)}
    late = loss_curves(np.array([1, 2]), terms, words, phase_spans(["initialise", "minimise"]), 20, "light")
    assert len(early.data) == len(late.data) == 4
    assert [axis for axis in early.layout if axis.startswith("yaxis")] == [
        axis for axis in late.layout if axis.startswith("yaxis")
    ]
    for trace in late.data:
        assert list(trace.y) == [0.5, 1.5]
    assert texts(early).count("from the next one on") == 1
    assert texts(early).count("not part of this run") == 2


def test_a_loss_term_nobody_foresaw_is_drawn_too():
    figure = loss_curves(np.array([1]), {"total": np.ones(1), "new term": np.ones(1)}, {}, (), 20, "light")
    assert bars(figure, "New term").y == (1.0,)


def test_flips_are_shares_of_the_batch():
    figure = flip_labels([30, 0, 10], 50, ["cat", "dog", "ship"], "light", target_label=0)
    assert list(figure.data[0].x) == [60, 0, 20]
    assert list(figure.data[0].text) == ["30", "", "10"]
    assert figure.layout.yaxis.ticktext == ("<b>cat</b> (target)", "dog", "ship")
    assert figure.layout.xaxis.range == (0, 100)


def test_of_many_classes_those_are_shown_that_most_images_flip_to():
    flipped = [0] * 100
    flipped[40], flipped[7] = 30, 10
    figure = flip_labels(flipped, 50, [f"class {place}" for place in range(100)], "light", target_label=99)
    assert len(figure.data[0].x) == 12
    found = dict(zip(figure.layout.yaxis.ticktext, figure.data[0].x, strict=True))
    assert (found["class 40"], found["class 7"], found["<b>class 99</b> (target)"]) == (60, 20, 0)
    assert "12 of 100 classes" in figure.layout.xaxis.title.text


def test_inner_shares_begin_where_the_inner_problem_does():
    nan = np.nan
    shares = {
        "flipped": np.array([nan, 0.8, 1.0]),
        "inverse_agrees": np.array([nan, 0.5, 0.9]),
        "pruned_restores": np.array([nan, 0.1, 0.7]),
    }
    figure = inner_curves(np.array([1, 2, 3]), shares, phase_spans(["initialise", "minimise", "minimise"]), 20, "dark")
    assert {"flipped 100", "inverse follows 90", "pruned restores 70"} <= set(texts(figure))
    assert list(figure.data[2].y[1:]) == [10, 70]
    nothing = inner_curves(np.array([1]), {name: np.array([nan]) for name in shares}, (), 20, "dark")
    assert "begins in a later stage" in texts(nothing)
    assert nothing.layout.height == figure.layout.height


@pytest.mark.parametrize("theme", THEMES)
def test_no_line_of_the_grid_goes_through_words(theme):
    one, first = np.array([1]), phase_spans(["initialise"])
    figures = (
        inner_curves(one, {name: np.array([np.nan]) for name in SHARES}, first, 20, theme),
        inner_curves(one, {name: np.ones(1) for name in SHARES}, first, 20, theme),
        loss_curves(one, {"total": np.ones(1)}, {"one": TermWords("One")}, first, 20, theme),
        measure_curves(one, {"acc": {"original": np.ones(1), "pruned": np.ones(1)}}, first, 20, theme),
    )
    for figure in figures:
        # Names of panels and phases stand above them.
        inside = [words for words in figure.layout.annotations if words.yanchor != "bottom"]
        assert inside
        assert {words.bgcolor for words in inside} == {GROUND[theme]}


def test_the_axis_of_rounds_grows_in_large_steps_and_stops_at_the_most():
    ends = [axis_end(last, 500) for last in range(501)]
    assert sorted(set(ends)) == [20, 50, 100, 200, 300, 400, 500]
    assert ends == sorted(ends)
    assert all(end >= last for last, end in enumerate(ends))
    assert axis_end(3, 10) == 10
    assert axis_end(7000, 6000) == 7000
    assert axis_end(0, 0) == 1


def test_thinning_keeps_the_ends_and_never_moves_a_point():
    for count in (0, 1, 2, 399, 400, 401, 1000, 5000):
        kept = thinned(count)
        assert len(kept) <= 401
        assert len(kept) == count if count <= 400 else kept[-1] == count - 1
    assert set(thinned(500)[:-1]) <= set(thinned(700))


@pytest.mark.parametrize(("value", "ceiling"), [(0.0, 1), (0.3, 0.5), (1, 1), (1.1, 2), (7, 10), (23, 50), (np.nan, 1)])
def test_ceilings_are_round_numbers(value, ceiling):
    assert nice_ceiling(value) == pytest.approx(ceiling)


def test_labels_keep_their_distance_and_their_order():
    assert spread_labels([93, 91, 9], 15, 0, 100) == [100, 85, 9]
    assert spread_labels([9, 93, 91], 15, 0, 100) == [9, 100, 85]
    assert spread_labels([60, 58, 9], 15, 0, 100) == [73, 58, 9]
    assert spread_labels([0, 0, 0], 10, 0, 100) == [0, 10, 20]
    assert spread_labels([], 10, 0, 100) == []


def test_perturbations_are_amplified_by_one_factor_and_sums_are_clipped():
    images = np.full((2, 3, 4, 4), 0.9)
    changes = np.zeros_like(images)
    changes[0, 0, 1, 2] = 0.04
    changes[1, 1, 0, 0] = 0.2
    tiles = trigger_tiles(images, changes)
    assert tiles.factor == 2
    assert tiles.clean.shape == (2, 4, 4, 3)
    assert tiles.perturbation[0, 1, 2, 0] == round((0.5 + 2 * 0.04) * 255)
    assert tiles.perturbation[0, 0, 0, 0] == 128
    assert tiles.perturbed[1, 0, 0, 1] == 255
    np.testing.assert_allclose(tiles.largest, [0.04, 0.2], rtol=1e-6)


@pytest.mark.parametrize(("largest", "factor"), [(0.0, 1000), (0.02, 20), (0.5, 1), (1.0, 1)])
def test_amplification_keeps_within_the_range(largest, factor):
    assert amplification(largest) == factor


def test_the_sheet_of_attacks_shows_each_image_under_each_attack():
    clean = np.stack([np.full((3, 4, 4), value) for value in (0.2, 0.5)])
    columns = [
        SheetColumn(title, trigger_tiles(clean, np.full_like(clean, change)))
        for title, change in (("A", 0.09), ("B", -0.03))
    ]
    figure = attack_sheet(columns, "light")
    traces = {trace.name: trace for trace in figure.data}
    assert set(traces) == {"clean (1)", "clean (2)"} | {
        f"{title}{what} ({number})" for title in "AB" for what in ("", ", change") for number in (1, 2)
    }
    assert np.array(traces["A (2)"].z).max() == round(0.59 * 255)
    assert np.array(traces["B, change (1)"].z).max() == round((0.5 - 10 * 0.03) * 255)
    # Side by side, and each change below its picture.
    assert traces["clean (1)"].x0 < traces["A (1)"].x0 < traces["B (1)"].x0
    assert traces["A (1)"].y0 < traces["A, change (1)"].y0 < traces["A (2)"].y0
    texts = [annotation.text for annotation in figure.layout.annotations]
    assert {"A", "B", "×5", "×10"} <= set(texts)
