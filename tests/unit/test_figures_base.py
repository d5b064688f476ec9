"""The look that all figures share, and the values in the bars of class probabilities."""

import tomllib

import pytest

from invmask.exports.data import figure_table
from invmask.figures.classes import shown_classes
from invmask.figures.palette import GROUND, TEXT, VIEW_COLOURS, VIEW_COLOURS_DARK, view_colour
from invmask.figures.probabilities import TARGET_MARK, TRUE_MARK, class_probabilities
from invmask.figures.template import PLOTLY_CONFIG, finish, template
from tests.unit.run_helpers import ROOT

THEMES = ("light", "dark", "paper")
CLASSES = ("airplane", "cat", "dog")
SHARES = {"original": [0.97, 0.02, 0.01], "pruned": [0.1, 0.85, 0.05], "inverse": [0.004, 0.5, 0.496]}


def luminance(colour):
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, other):
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("view", VIEW_COLOURS)
def test_view_colours_stand_out_on_their_background(view):
    # 3 : 1 is what WCAG asks of graphics; text has more.
    assert contrast(view_colour(view, "light"), "#FFFFFF") >= 3
    assert contrast(view_colour(view, "paper"), "#FFFFFF") >= 3
    assert contrast(view_colour(view, "dark"), "#0F131A") >= 4.5


def test_view_colours_are_the_designs():
    assert VIEW_COLOURS == {"original": "#6B7280", "pruned": "#2563EB", "inverse": "#EA580C", "repaired": "#0F766E"}
    assert VIEW_COLOURS_DARK.keys() == VIEW_COLOURS.keys()


@pytest.mark.parametrize("theme", THEMES)
def test_the_background_is_the_pages_own_or_white_on_paper(theme):
    layout = template(theme).layout
    wanted = "#FFFFFF" if theme == "paper" else "rgba(0,0,0,0)"
    assert (layout.paper_bgcolor, layout.plot_bgcolor) == (wanted, wanted)
    assert contrast(TEXT[theme], GROUND[theme]) >= 7
    own = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())["theme"]
    assert GROUND[theme] == ("#FFFFFF" if theme == "paper" else own[theme]["backgroundColor"])


def test_a_finished_figure_has_a_fixed_height_and_keeps_the_zoom():
    import plotly.graph_objects as go

    figure = finish(go.Figure(), "light", 240)
    assert figure.layout.height == 240
    assert figure.layout.uirevision == "keep"


def test_nothing_is_offered_for_upload():
    assert PLOTLY_CONFIG["displaylogo"] is False
    assert PLOTLY_CONFIG["showSendToCloud"] is False
    assert PLOTLY_CONFIG["toImageButtonOptions"]["format"] == "svg"


@pytest.mark.parametrize("theme", THEMES)
def test_bars_hold_each_views_probabilities_in_per_cent(theme):
    figure = class_probabilities(SHARES, CLASSES, true=1, target=0, theme=theme)
    assert [trace.name for trace in figure.data] == ["Original", "Pruned", "Inverse"]
    for trace, (view, shares) in zip(figure.data, SHARES.items(), strict=True):
        assert list(trace.x) == pytest.approx([100 * share for share in shares])
        assert trace.marker.color == view_colour(view, theme)
    assert list(figure.layout.yaxis.ticktext) == [f"<b>{TARGET_MARK} airplane</b>", f"<b>{TRUE_MARK} cat</b>", "dog"]
    assert list(figure.data[0].customdata) == list(CLASSES)
    assert [tuple(figure.layout[axis].range) for axis in ("xaxis", "xaxis2", "xaxis3")] == [(0, 104)] * 3


def test_of_many_classes_those_are_shown_that_matter():
    titles = [f"class {place}" for place in range(42)] + ["a road sign with a very long name indeed"]
    shares = {"original": [0.0] * 43, "pruned": [place / 1000 for place in range(43)]}
    figure = class_probabilities(shares, titles, true=0, target=42, theme="light")
    places = [0, *range(32, 43)]
    marked = [f"<b>{TRUE_MARK} class 0</b>", *titles[32:42], f"<b>{TARGET_MARK} a road sign with a very…</b>"]
    assert list(figure.layout.yaxis.ticktext) == marked
    assert list(figure.data[1].x) == pytest.approx([100 * place / 1000 for place in places])
    assert figure.layout.margin.l > 180
    assert figure.layout.xaxis.title.text == "probability, %; 12 of 43 classes"
    assert shown_classes([0.0] * 20, (3,)) == list(range(20))
    assert len(shown_classes([0.0] * 21, (3, None))) == 12


def test_small_bars_carry_no_number():
    figure = class_probabilities(SHARES, CLASSES, true=1, target=None, theme="light")
    assert [list(trace.text) for trace in figure.data] == [["97", "", ""], ["10", "85", "5"], ["", "50", "50"]]
    assert "airplane" in figure.layout.yaxis.ticktext


@pytest.mark.parametrize(
    "titles",
    [("0", "1", "2"), ("no passing for vehicles over 3.5 tonnes", "no passing for vehicles over 7.5 tonnes", "dog")],
)
def test_classes_that_are_numbers_or_look_alike_have_a_bar_each(titles: tuple[str, ...]):
    figure = class_probabilities(SHARES, titles, true=1, target=0, theme="light")
    for trace in figure.data:
        assert list(trace.y) == list(figure.layout.yaxis.tickvals) == [0, 1, 2]
    table = figure_table(figure)
    assert list(table["class"][:3]) == [f"{TARGET_MARK} {titles[0]}", f"{TRUE_MARK} {titles[1]}", titles[2]]
    assert list(table["probability, %"][:3]) == pytest.approx([100 * share for share in SHARES["original"]])
