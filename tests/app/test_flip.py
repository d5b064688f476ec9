"""Flip: counts against an independent computation, filters, picks, the address, and what empty pages say."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from invmask import settings
from invmask.attacks.registry import make_attack
from invmask.data.budget import probe
from invmask.data.embedded import load_embedded
from invmask.data.images import CIFAR10
from invmask.masks.attach import attached, sharing_copy
from invmask.masks.state import GATED, MaskLayout, View
from invmask.measure import views
from invmask.measure.views import Fate, view_probabilities
from invmask.runs.store import named_masks
from invmask.ui.flip import flip_choice, panels
from invmask.ui.parts.samples import image_data_uri, to_pixels
from invmask.victims.victim import load_victim
from tests.app.conftest import address_of, make_run, round_slider, sentences, visit
from tests.unit.run_helpers import CONTROL, VICTIM, advance_to

pytestmark = pytest.mark.usefixtures("tiny_victims")


def own_answers(folder, run, round_taken, poisoned=True):
    """Answers of the three views and the true labels, in plain torch."""
    model = load_victim(VICTIM, [folder]).model
    images = probe("cifar10", 2)
    if poisoned:
        images = images.take(images.labels != 0)
    tensor = make_attack("badnets").apply(images.tensor()) if poisoned else images.tensor()
    masks, layout, copy = run.masks_at(round_taken), MaskLayout.of(model), sharing_copy(model)
    said = {}
    for view in GATED:
        with attached(copy, layout, masks.gate(view)), torch.no_grad():
            said[view] = copy(tensor).argmax(1).tolist()
    return said, images.labels.tolist()


def tiles(app):
    held = (json.loads(element.proto.json) for element in app.main if element.type == "bidi_component")
    return next(of["tiles"] for of in held if "tiles" in of)


def metrics(app):
    return {metric.label: metric.value for metric in app.metric}


def segments(app, key):
    return next(group for group in app.get("button_group") if group.key == key)


@pytest.mark.parametrize("view", GATED)
def test_the_counts_are_those_of_an_independent_computation(tiny_victims, view):
    run = make_run(rounds=6)
    app = visit("flip", run=run.id, view=view.value)
    assert not app.exception
    said, true = own_answers(tiny_victims, run, 6)
    triples = list(zip(said[View.ORIGINAL], said[view], true, strict=True))
    assert metrics(app) == {
        "Recovered": str(sum(old != t and new == t for old, new, t in triples)),
        "Still fooled": str(sum(old == new == 0 for old, new, _ in triples)),
        "Newly wrong": str(sum(old == t != new for old, new, t in triples)),
        "Differently wrong": str(sum(old != t and new not in (t, old) for old, new, t in triples)),
    }
    asr = 100 * sum(new == 0 for new in said[view]) / 18
    ra = 100 * sum(new == t for new, t in zip(said[view], true, strict=True)) / 18
    line = next(caption.value for caption in app.caption if "view: ASR" in caption.value)
    assert line.startswith(f"{view.value.capitalize()} view: ASR {asr:.1f} %")
    assert f"RA (recovery accuracy) {ra:.1f} %" in line
    assert "; n\u00a0=\u00a018." in line


def test_an_inverse_without_the_backdoor_says_so(tiny_victims):
    run = make_run(rounds=6)
    for view in (View.PRUNED, View.INVERSE):
        said = own_answers(tiny_victims, run, 6)[0][view]
        assert said.count(0) < 0.2 * len(said)
        most = max(range(10), key=said.count)
        (told,) = [c.value for c in visit("flip", run=run.id, view=view.value).caption if "ASR" in c.value]
        share = f"{100 * said.count(most) / len(said):.1f} %"
        words = f"Its most frequent answer is {CIFAR10.classes[most]} ({share}):"
        assert (words in told) == (view is View.INVERSE), (told, words)


def test_an_inverse_with_some_of_the_backdoor_is_not_said_to_lack_it(tiny_victims, monkeypatch):
    run = make_run(rounds=6)
    said = own_answers(tiny_victims, run, 6)[0][View.INVERSE]
    monkeypatch.setattr(panels, "LACKS_BELOW", said.count(0) / len(said))
    captions = [c.value for c in visit("flip", run=run.id, view="inverse").caption]
    assert any("Inverse view: ASR" in caption for caption in captions)
    assert not any("does not contain" in caption for caption in captions)


def test_the_tiles_show_the_views_answers(tiny_victims):
    run = make_run(rounds=6)
    app = visit("flip", run=run.id)
    said, true = own_answers(tiny_victims, run, 6)
    for view in GATED:
        segments(app, "flip-view").set_value(view.value).run()
        shown = tiles(app)
        assert len(shown) == 18
        for tile in shown:
            assert tile["title"] == CIFAR10.classes[true[tile["place"]]]
            assert tile["answer"] == CIFAR10.classes[said[view][tile["place"]]]
    # The classes take turns, so that the first screen shows them all.
    assert len({tile["title"] for tile in shown[:9]}) == 9


def test_a_flip_makes_no_forward_pass(monkeypatch):
    run = make_run()
    app = visit("flip", run=run.id)
    made, of = [], views.network_of
    monkeypatch.setattr(views, "network_of", lambda *given: made.append(given) or of(*given))
    for view in (View.PRUNED, View.INVERSE, View.ORIGINAL):
        segments(app, "flip-view").set_value(view.value).run()
        assert not app.exception
    assert made == []
    # Other masks need passes of their own.
    assert not visit("flip", run=run.id, round="1").exception
    assert made


def test_the_filter_lets_through_what_the_pruned_view_changed(tiny_victims):
    run = make_run(rounds=6)
    said, true = own_answers(tiny_victims, run, 6)
    old, new = said[View.ORIGINAL], said[View.PRUNED]
    wanted = {
        "all": set(range(18)),
        "changed": {i for i in range(18) if old[i] != new[i]},
        "recovered": {i for i in range(18) if old[i] != true[i] and new[i] == true[i]},
        "still-fooled": {i for i in range(18) if old[i] == new[i] == 0},
        "newly-wrong": {i for i in range(18) if old[i] == true[i] != new[i]},
        "otherwise-wrong": {i for i in range(18) if true[i] != old[i] != new[i] != true[i]},
    }
    app = visit("flip", run=run.id, view="inverse")
    for show, places in wanted.items():
        segments(app, "flip-show").set_value(show).run()
        assert not app.exception
        if places:
            assert {tile["place"] for tile in tiles(app)} == places
        else:
            assert "Show all" in sentences(app)[0]
        assert app.query_params.get("show", "all") == show


def test_the_filter_finds_those_that_are_wrong_otherwise():
    fates = [Fate.UNCHANGED, Fate.OTHERWISE_WRONG, Fate.RECOVERED, Fate.OTHERWISE_WRONG]
    assert flip_choice.chosen("otherwise-wrong", fates, (), [3, 2, 1, 0]) == [3, 1]
    app = visit("flip", run=make_run().id, show="otherwise-wrong", round="0")
    assert "At this round no sample is differently wrong. Show all, or move to another round." in sentences(app)


def test_under_a_mask_by_hand_nobody_is_sent_to_another_round():
    run = make_run()
    named_masks.save(run, "all pass", replace(masks := run.masks_at(1), mask=torch.ones_like(masks.mask)))
    app = visit("flip", run=run.id, mask="all pass", show="recovered")
    assert "Under this mask no sample is recovered. Show all, or choose another mask." in sentences(app)
    app = visit("flip", run=run.id, show="recovered", round="0")
    assert "At this round no sample is recovered. Show all, or move to another round." in sentences(app)


def test_an_address_says_it_all():
    run = make_run(rounds=3)
    query = {"run": run.id, "view": "pruned", "show": "picked", "pick": "5,2", "round": "2"}
    app, other = visit("flip", **query), visit("flip", **query)
    assert {**query, "victim": VICTIM} == {name: app.query_params[name] for name in (*query, "victim")}
    assert [tile["place"] for tile in tiles(app)] == [5, 2]
    assert tiles(app) == tiles(other)
    assert round_slider(app).value == 2
    assert any("Sample 2, true class" in html.value for html in app.get("html"))


def test_switching_pages_keeps_the_choices():
    run = make_run()
    app = visit("flip", run=run.id, view="inverse")
    app.switch_page("pages/start.py").run()
    assert "view" not in app.query_params
    assert app.query_params["run"] == run.id
    app.switch_page("pages/flip.py").run()
    assert app.query_params["view"] == "inverse"
    assert segments(app, "flip-view").value == "inverse"


def test_the_latest_round_follows_the_run():
    run = make_run(rounds=2)
    app = visit("flip", run=run.id)
    assert round_slider(app).value == 2
    advance_to(run, 3)
    app.run()
    assert round_slider(app).value == 3
    round_slider(app).set_value(1).run()
    assert app.query_params["round"] == "1"


def test_clean_images_can_be_looked_at_too(tiny_victims):
    run = make_run()
    app = visit("flip", run=run.id, images="clean", view="pruned")
    assert not app.exception
    assert metrics(app)["Still fooled"] == "–"
    assert len(tiles(app)) == 20
    said, true = own_answers(tiny_victims, run, 3, poisoned=False)
    acc = 100 * sum(a == t for a, t in zip(said[View.PRUNED], true, strict=True)) / 20
    assert any(f"ACC {acc:.1f} %" in caption.value for caption in app.caption)


def test_the_clean_control_has_clean_images_alone():
    run = make_run(CONTROL)
    app = visit("flip", run=run.id)
    assert not app.exception
    assert app.query_params["victim"] == CONTROL
    assert len(tiles(app)) == 20
    assert [group.key for group in app.get("button_group")] == ["flip-view", "flip-pen", "flip-show"]


@pytest.mark.parametrize(
    ("query", "told"),
    [
        (
            {"view": "up", "show": "no", "round": "9", "pick": "a,-1,5,9999999", "page": "0"},
            "`view=up` (not understood), `show=no` (not understood), `round=9` (the run has rounds 0 to 1), ",
        ),
        (
            {"round": "-1", "page": "999999", "images": "no"},
            "`images=no` (not understood), `round=-1` (not understood), `page=999999` (there is 1)",
        ),
        (
            {"pick": ",".join(["900"] * 5), "show": "picked"},
            "`pick=900` (samples are 0 to 17)",
        ),
        ({"images": "clean", "show": "still-fooled"}, "`show=still-fooled` (no trigger on clean images)"),
        ({"mask": "gone"}, "`mask=gone` (the run has no such mask, or no longer)"),
        ({"channel": "conv1:3"}, "`channel=conv1:3` (not known on this page)"),
    ],
)
def test_nonsense_in_the_address_is_told_of_and_left_out(query, told):
    run = make_run(rounds=1)
    app = visit("flip", run=run.id, **query)
    assert not app.exception
    assert not app.error
    assert any(sentence.startswith(f"Left out of the address: {told}") for sentence in sentences(app))
    kept = {"pick": "5"} if "view" in query else {"show": "picked"} if "900" in query.get("pick", "") else {}
    assert address_of(app) == kept | ({"images": "clean"} if query.get("images") == "clean" else {})


def test_a_mask_deleted_by_somebody_else_is_told_of_and_one_of_another_run_is_not():
    run, other = make_run(), make_run(rounds=2)
    named_masks.save(run, "mine", run.masks_at(1))
    app = visit("flip", run=run.id, mask="mine")
    assert sentences(app) == []
    named_masks.delete(run, "mine")
    segments(app, "flip-view").set_value("pruned").run()
    assert sentences(app) == ["Left out of the address: `mask=mine` (the run has no such mask, or no longer)."]
    assert "mask" not in app.query_params
    named_masks.save(run, "mine", run.masks_at(1))
    app = visit("flip", run=run.id, mask="mine")
    app.selectbox(key=f"sidebar/run/{run.id}").set_value(other.id).run()
    assert sentences(app) == []
    assert "mask" not in app.query_params


def test_where_the_filter_finds_none_no_sample_is_looked_at():
    run = make_run()
    app = visit("flip", run=run.id, show="recovered", round="0")
    assert any(caption.value == "No sample to look at: the filter finds none." for caption in app.caption)
    assert not any("true class" in html.value for html in app.get("html"))
    assert not [chart for chart in app.get("plotly_chart") if "flip-probabilities" in chart.proto.id]


def test_without_a_run_it_says_what_to_do():
    app = visit("flip", victim=VICTIM)
    assert not app.exception
    assert "Defend this victim" in sentences(app)[0]


def test_with_runs_but_none_chosen_the_latest_is_offered():
    run = make_run()
    app = visit("flip", victim=VICTIM)
    next(button for button in app.button if button.label == "Open the latest run").click().run()
    assert app.query_params["run"] == run.id
    assert tiles(app)


def test_a_run_without_rounds_says_what_to_do():
    run = make_run(rounds=0)
    app = visit("flip", run=run.id)
    assert not app.exception
    assert "no round yet" in sentences(app)[0]


def test_a_deleted_run_gives_a_sentence():
    app = visit("flip", run="20260101-000000-badnets-0000")
    assert not app.exception
    assert any("There is no run" in sentence for sentence in sentences(app))


def pen_answers(app):
    """The answer of each view to the pen's picture, in order: view, class."""
    (html,) = (each.value for each in app.get("html") if "im-detail" in each.value)
    return re.findall(r'im-row3 im-(\w+)">.*?<b>([^<]+)</b>', html)


def test_the_pen_answers_with_every_view_as_the_networks_do():
    run = make_run()
    drawn = {"pixels": "ww/ww", "left": "3", "top": "30", "sample": "12"}
    app = visit("flip", victim=VICTIM, run=run.id, pen="on", **drawn)
    assert not app.exception
    assert sentences(app) == []
    images = load_embedded("cifar10", "test").images.take(np.array([12])).tensor()
    images[:, :, 30:, 3:5] = 1
    model, repair = load_victim(VICTIM, settings.victim_folders()).model, run.repair_at(3)
    expected = view_probabilities(model, repair, repair.views, images)[:, 0].argmax(1)
    assert [view for view, _ in pen_answers(app)] == ["original", "pruned", "inverse"]
    assert [name for _, name in pen_answers(app)] == [CIFAR10.classes[place] for place in expected.tolist()]
    assert address_of(app) == {"pen": "on", **drawn}


@pytest.mark.parametrize("trigger", ["victim", "none"])
def test_the_pen_puts_the_victims_trigger_on_or_none(trigger: str):
    app = visit("flip", victim=VICTIM, run=make_run().id, pen="on", trigger=trigger, sample="7")
    assert not app.exception
    (html,) = (each.value for each in app.get("html") if "im-detail" in each.value)
    image = load_embedded("cifar10", "test").images.take(np.array([7])).tensor()
    shown = make_attack("badnets").apply(image) if trigger == "victim" else image
    assert image_data_uri(to_pixels(shown.numpy())[0]) in html


def test_the_pen_of_a_control_has_no_trigger_of_the_victim():
    app = visit("flip", victim=CONTROL, run=make_run(CONTROL).id, pen="on", trigger="victim", sample="9999")
    assert not app.exception
    assert "Left out of the address" in sentences(app)[0]
    assert address_of(app) == {"pen": "on"}
