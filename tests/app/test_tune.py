"""Tune: the slider's numbers are the measured ones, the address, saving, pins, and runs that are laid out."""

import json
from dataclasses import replace

import pytest

from invmask import settings
from invmask.errors import UserError
from invmask.evidence.threshold import Cut, Order, hard_masks, propose
from invmask.masks.state import View
from invmask.runs.store import named_masks
from invmask.runs.store.goals import Goal
from invmask.runs.work import cut_curves
from invmask.runs.work.measure_cuts import measure_cuts
from invmask.ui.shell import cache
from invmask.ui.shell.seeds import parse_seeds
from invmask.ui.tune import tune_choice
from tests.app.conftest import address_of, make_run, sentences, visit
from tests.unit.run_helpers import CONTROL, VICTIM, small_spec, taken


@pytest.fixture(autouse=True)
def home(tiny_victims):
    return tiny_victims


def measured_run(victim=VICTIM):
    run = make_run(victim, rounds=5)
    cut_curves.ERRAND.ask(run, 5)
    measure_cuts(run.path)
    return run, cut_curves.read_curves(run, 5)


def with_points(run, curves, *shares):
    """The curves with a point for nothing cut and one for each (channels, agreement, restored), in both orders."""
    points = {}
    for order in Order:
        nothing = replace(curves.points[order][0], restored=None if shares[0][2] is None else 0.0)
        cut = [
            replace(nothing, cut=Cut(channels), agreement=agreement, restored=restored, pruned=curves.learned[0])
            for channels, agreement, restored in shares
        ]
        points[order] = (nothing, *cut)
    fresh = replace(curves, points=points, total=sum(map(len, points.values())))
    cut_curves.write_curves(run, 5, fresh)
    return fresh


def cards(app):
    return next(html.proto.body for html in app.get("html") if 'aria-label="Pruned view"' in html.proto.body)


def button(app, label):
    return next(button for button in app.button if button.label == label)


def slider(app):
    return next(slider for slider in app.select_slider if slider.label == "Hard cut")


def marked(app):
    specs = [json.loads(element.proto.spec) for element in app.get("plotly_chart")]
    return {trace["x"][0] for spec in specs for trace in spec["data"] if "this cut" in trace.get("name", "")}


def test_the_slider_shows_what_was_measured_and_the_address_keeps_it():
    run, curves = measured_run()
    points = with_points(run, curves, (4, 1.0, 0.9), (9, 0.97, 0.92)).points[Order.SCORE]
    app = visit("tune", run=run.id, by="score")
    assert not app.exception
    proposed = propose(points).point.cut.channels
    assert proposed == 4
    assert marked(app) == {proposed}
    other = next(point for point in reversed(points) if point.cut.channels != proposed)
    slider(app).set_value(other.cut.channels).run()
    assert app.query_params["n"] == str(other.cut.channels)
    assert marked(app) == {other.cut.channels}
    again = visit("tune", run=run.id, by="score", n=str(other.cut.channels))
    for page in (app, again):
        for view in (other.pruned, other.inverse):
            assert f">{100 * view.acc:.1f}" in cards(page).replace("\u00a0%", " %")
    assert cards(app) == cards(again)
    button(app, "Take the proposed cut").click().run()
    assert "n" not in app.query_params
    assert marked(app) == {proposed}


@pytest.mark.parametrize(
    ("agreement", "restored", "words"),
    [
        (0.97, 0.6, "Of the cuts that keep at least 97\u00a0% of the original's"),
        (0.97, 0.79, "Under that trigger it keeps only 79.0\u00a0% of them, so more channels may be needed"),
        (0.97, 0.0, "this one cuts the most channels"),
        (0.97, 0.0, "so the trigger does not help to choose"),
        (0.97, None, "this round made no synthesized trigger to choose by."),
        (0.969, 0.6, "**No cut is proposed**: none of those measured keeps 97\u00a0%"),
    ],
)
def test_the_rule_of_a_proposal_is_said_in_a_sentence(agreement, restored, words):
    run, curves = measured_run()
    with_points(run, curves, (4, agreement, restored))
    for order in Order:
        said = " ".join(caption.value for caption in visit("tune", run=run.id, by=order.value).caption)
        assert words in said
        assert ("**Proposed: " in said) == (agreement == 0.97)


def test_a_run_that_is_gone_while_one_looks_at_it_gets_a_sentence(monkeypatch):
    run, _ = measured_run()

    def gone(*_):
        raise UserError("There is no such run.")

    # Within the fragment: what the page itself catches is over by then.
    monkeypatch.setattr(tune_choice, "point_shown", gone)
    app = visit("tune", run=run.id)
    assert not app.exception
    assert "There is no such run." in sentences(app)


def test_a_cut_is_saved_for_flip_and_export():
    run, curves = measured_run()
    channels = curves.points[Order.MASK][-1].cut.channels
    app = visit("tune", run=run.id, n=str(channels))
    app.text_input(key="tune-name").set_value("hard").run()
    app.button(key="tune-save").click().run()
    first = run.masks_at(5).gate(View.PRUNED).argsort(stable=True)[:channels].tolist()
    saved, wanted = named_masks.load(run, "hard"), hard_masks(run.masks_at(5), first)
    assert saved.mask.tolist() == wanted.mask.tolist()
    assert saved.selection.tolist() == wanted.selection.tolist()
    assert app.button(key="tune-save").label == "Replace 'hard'"


def test_two_cuts_are_pinned_side_by_side():
    run, curves = measured_run()
    first, last = (curves.points[Order.SCORE][place].cut.channels for place in (0, -1))
    app = visit("tune", run=run.id, by="score", n=str(first))
    button(app, "Pin").click().run()
    slider(app).set_value(last).run()
    button(app, "Pin").click().run()
    assert app.query_params["pins"] == f"{run.id}.5.score.{first}~{run.id}.5.score.{last}"
    assert [b.label for b in app.button].count("Unpin") == 2
    assert marked(app) == {first, last}
    app.button(key="tune-unpin-0").click().run()
    assert app.query_params["pins"] == f"{run.id}.5.score.{last}"
    odd = visit("tune", run=run.id, pins=f"nonsense~{run.id}.5.score.99999~20200101-000000-a-aaaa.1.mask.0")
    assert not odd.exception
    assert any("no longer measured" in words for words in sentences(odd))


def test_pins_and_cuts_of_an_address_that_make_no_sense_are_told_of_and_left_out():
    run, _ = measured_run()
    first, second, third = (f"{run.id}.5.score.{number}" for number in (0, 1, 2))
    for query, told, kept in (
        ({"pins": f"x~{first}~../../a.1.mask.0"}, "`pins=x~../../a.1.mask.0` (no cuts)", {"pins": first}),
        ({"pins": f"{first}~{second}~{third}"}, f"`pins={run.id}", {"pins": f"{first}~{second}"}),
        ({"n": "999999"}, "`n=999999` (more channels than the network has)", {}),
        ({"by": "x", "values": "1~x", "axis": "y", "base": "z"}, "`by=x` (not understood), ", {}),
    ):
        app = visit("tune", run=run.id, **query)
        assert not app.exception
        assert any(sentence.startswith(f"Left out of the address: {told}") for sentence in sentences(app)), told
        assert address_of(app) == kept


def test_what_is_started_is_seen_at_once_whatever_was_read_before(monkeypatch):
    run = make_run(rounds=1)
    app = visit("tune", run=run.id, values="1~2")
    # Read a moment ago, as after another click, and good for another second however slow this machine is.
    held = [cache.store().listing()]
    monkeypatch.setattr(cache, "listing", lambda: held[0])
    monkeypatch.setattr(cache, "forget_listing", lambda: held.insert(0, cache.store().listing()))
    button(app, "Start the 2 missing runs").click().run()
    assert any("2 under way, 0 missing" in caption.value for caption in app.caption)


def test_cuts_are_asked_for_and_a_clean_control_has_acc_alone():
    run = make_run(CONTROL, rounds=3)
    app = visit("tune", run=run.id)
    assert not app.exception
    assert cut_curves.ERRAND.wanted(run) == 3
    measure_cuts(run.path)
    app.run()
    assert "ASR" not in cards(app)


def test_missing_runs_are_started_and_those_there_are_used():
    run = make_run(rounds=1)
    app = visit("tune", run=run.id, values="1~2", seeds="0-1")
    assert not app.exception
    assert any("0 of 4 runs finished, 0 under way, 4 missing" in caption.value for caption in app.caption)
    button(app, "Start the 4 missing runs").click().run()
    specs = [each.spec() for each in cache.store().runs()]
    assert sorted((spec.spc, spec.seed) for spec in specs) == [(1, 0), (1, 1), (2, 0), (2, 1)]
    assert all(spec.seed == spec.config.seed for spec in specs)
    assert all(each.want().goal is Goal.FINISH for each in cache.store().runs())
    assert not app.exception


@pytest.mark.parametrize(
    ("axis", "typed", "shown"),
    [
        ("spc", "3, 7", "3~7"),
        ("sparsity_weight", "0.25 7", "0.25~7"),
        ("sparsity_weight", "0.00001, 12.345678", "0.00001~12.345678"),
    ],
)
def test_any_values_can_be_typed(axis, typed, shown):
    run = make_run(rounds=1)
    app = visit("tune", run=run.id, axis=axis, values="1~2")
    app.text_input(key=f"tune-more-{axis}").set_value(typed).run()
    assert not app.exception
    low, high = shown.split("~")
    assert set(app.query_params["values"].split("~")) == {"1", "2", low, high}
    pills = app.button_group(key=f"tune-values-{axis}")
    assert {low, high} <= set(pills.options)
    assert set(pills.value) == {1, 2, float(low), float(high)}
    assert any("0 of 4 runs finished" in caption.value for caption in app.caption)
    assert app.text_input(key=f"tune-more-{axis}").value == ""
    app.text_input(key=f"tune-more-{axis}").set_value("many").run()
    assert any("not 'many'" in words for words in sentences(app))
    assert set(app.query_params["values"].split("~")) == {"1", "2", low, high}


def test_with_the_last_value_off_nothing_is_laid_out():
    run = make_run(rounds=1)
    app = visit("tune", run=run.id, values="1")
    app.button_group(key="tune-values-spc").set_value([]).run()
    assert app.query_params["values"] in ("none", ["none"])
    assert any("Choose at least one value" in words for words in sentences(app))
    assert not [each for each in app.button if each.label.startswith("Start the")]


def test_values_are_read_as_typed():
    assert tune_choice.parse_values(" 7, 3;3 ", "SPC", 1, 100, True) == (3, 7)
    assert tune_choice.parse_values("0.5", "Norm bound", 0, 1, False) == (0.5,)
    assert tune_choice.parse_values("0.10000000", "Norm bound", 0, 1, False) == (0.1,)
    with pytest.raises(UserError, match=r"Norm bound: at most 6 digits after the point, not 0\.0000001"):
        tune_choice.parse_values("0.0000001", "Norm bound", 0, 1, False)
    for wrong in ("", "0", "101", "2.5", "-1", "1e2", "٣", ",".join(map(str, range(1, 22)))):
        with pytest.raises(UserError):
            tune_choice.parse_values(wrong, "SPC", 1, 100, True)


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (0.00001, "0.00001"), (12.345678, "12.345678"), (0.1 + 0.2, "0.3"), (100, "100")]
)
def test_values_are_written_as_they_are_read(value, text):
    assert tune_choice.plain(value) == text
    assert tune_choice.parse_values(text, "Sparsity weight", 0, 1000, False) == pytest.approx((value,))


def test_the_own_value_of_a_run_is_laid_out_once_as_it_is():
    run = made_with(weight_pruned_clean=0.1 + 0.2)
    app = visit("tune", run=run.id, axis="weight_pruned_clean", values="0.3")
    pills = app.button_group(key="tune-values-weight_pruned_clean")
    assert (pills.value, pills.options.count("0.3")) == ([0.1 + 0.2], 1)


def test_an_own_value_too_small_for_the_address_is_told_of():
    run = made_with(sparsity_weight=1e-7)
    app = visit("tune", run=run.id, axis="sparsity_weight")
    pills = app.button_group(key="tune-values-sparsity_weight")
    assert (pills.value[0], pills.options.count("0")) == (0, 1)
    assert any("1e-07, needs more than 6 digits" in caption.value for caption in app.caption)


def made_with(**changes):
    return taken(settings.home(), small_spec(probe_per_class=2, config=replace(small_spec().config, **changes)), 1)


def test_wrong_seeds_get_a_sentence():
    app = visit("tune", victim=VICTIM, seeds="1-x")
    assert any("'0-2, 7'" in words for words in sentences(app))
    assert parse_seeds("7, 0-2,1") == (0, 1, 2, 7)
