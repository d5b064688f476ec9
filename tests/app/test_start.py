"""Start: the card's numbers, real pictures, the model's own answers, and sentences where something is wrong."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from invmask import settings
from invmask.attacks.registry import make_attack
from invmask.data.embedded import load_embedded
from invmask.data.images import CIFAR10
from invmask.runs.cluster.executor import Executor
from invmask.ui.shell import cache, widgets
from invmask.victims.victim import load_victim, new_model, save_victim
from tests.app.conftest import address_of, make_run, sentences, visit
from tests.unit.run_helpers import CONTROL, VICTIM

pytestmark = pytest.mark.usefixtures("tiny_victims")


def grid(app):
    return next(html.value for html in app.get("html") if "im-sample" in html.value)


def answers(html):
    """(class, per cent) of every answer in the order of the page."""
    found = re.findall(r'im-name">([a-z]+)</div>.*?<b>([\d.]+) %</b>', html)
    return [(name, float(value)) for name, value in found]


def test_the_workers_come_up_while_the_reader_looks(monkeypatch):
    asked = []
    monkeypatch.setattr(Executor, "prepare", lambda _, spec: asked.append((spec.victim, spec.preset, spec.spc)))
    assert not visit(victim=VICTIM).exception
    assert asked == [(VICTIM, "default", 10)]
    run = make_run()
    assert not visit(victim=CONTROL).exception
    assert not visit(victim=VICTIM, run=run.id).exception
    assert [victim for victim, *_ in asked] == [VICTIM, CONTROL]


def test_the_numbers_are_those_of_the_card():
    app = visit(victim=VICTIM)
    assert not app.exception
    assert [metric.value for metric in app.metric] == ["10.0 %", "20.0 %", "10.0 %"]
    captions = " ".join(caption.value for caption in app.caption)
    assert "n\u00a0=\u00a010,000" in captions
    assert captions.count("n\u00a0=\u00a09,000") == 2


def _pair(clean: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return clean, make_attack("badnets").apply(clean)


def test_the_first_example_shows_the_backdoor_and_the_trigger_is_shown_enlarged(monkeypatch):
    monkeypatch.setattr(settings, "victim_folders", lambda *_: [settings.ASSETS / "victims"])
    for draw in range(3):
        html = grid(visit(victim="cifar10-preactresnet18w16-badnets", draw=str(draw)))
        first = html.split("<figcaption>")[1]
        true, (clean, _), (triggered, _) = first.split("<")[0].removeprefix("true class: "), *answers(first)[:2]
        assert (clean, triggered) == (true, "airplane")
        assert "trigger, enlarged" in first
    blended = grid(visit(victim="cifar10-preactresnet18w16-blended"))
    assert "difference ×" in blended
    assert "enlarged" not in blended


def test_three_steps_say_what_to_do_and_lead_on():
    app = visit(victim=VICTIM)
    steps = [text.value.split("  \n")[0] for text in app.markdown if text.value.startswith("**")]
    assert steps[:3] == ["**1 See**", "**2 Defend**", "**3 Flip**"]


def test_every_picture_has_the_victims_own_answer(tiny_victims):
    app = visit(victim=VICTIM, draw="3")
    html = grid(app)
    titles = re.findall(r"<figcaption>true class: ([a-z]+)</figcaption>", html)
    assert len(titles) == 6
    assert "airplane" not in titles

    images = load_embedded("cifar10", "test").images
    places = np.random.default_rng(3).choice(np.flatnonzero(images.labels != 0), 6, replace=False)
    model = load_victim(VICTIM, [tiny_victims]).model
    said = [model(these).argmax(1).numpy() for these in _pair(images.take(places).tensor())]
    # Those that the backdoor is seen on come first.
    places = places[np.argsort((said[0] != images.labels[places]) | (said[1] != 0), kind="stable")]
    assert titles == [CIFAR10.classes[label] for label in images.labels[places]]
    clean = images.take(places).tensor()
    expected = []
    for pair in zip(model(clean).softmax(1), model(make_attack("badnets").apply(clean)).softmax(1), strict=True):
        expected += [(CIFAR10.classes[int(said.argmax())], round(100 * float(said.max()), 1)) for said in pair]
    shown = answers(html)
    assert [name for name, _ in shown] == [name for name, _ in expected]
    assert [value for _, value in shown] == pytest.approx([value for _, value in expected], abs=0.11)


def test_a_draw_is_in_the_address_and_shows_other_pictures():
    app = visit(victim=VICTIM)
    before = grid(app)
    next(button for button in app.button if button.label == "Draw other pictures").click().run()
    assert app.query_params["draw"] == "1"
    assert grid(app) != before
    assert grid(visit(victim=VICTIM, draw="1")) == grid(app)


def test_a_class_can_be_chosen():
    app = visit(victim=VICTIM, draw="2")
    app.selectbox(key="start/class").set_value("ship").run()
    assert app.query_params["class"] == "ship"
    assert re.findall(r"true class: ([a-z]+)<", grid(app)) == ["ship"] * 6


def test_the_clean_control_has_no_trigger():
    app = visit(victim=CONTROL)
    assert not app.exception
    assert app.title[0].value == "A control without a backdoor"
    assert [metric.value for metric in app.metric] == ["10.0 %", "–", "–"]
    assert "triggered" not in grid(app)


@pytest.mark.parametrize("query", [{"draw": "x"}, {"draw": "-1"}, {"class": "airplane"}, {"class": "<b>"}])
def test_nonsense_in_the_address_is_told_of_and_left_out(query):
    app = visit(victim=VICTIM, **query)
    assert not app.exception
    assert len(re.findall("<figcaption>", grid(app))) == 6
    ((name, value),) = query.items()
    assert sentences(app) == [f"Left out of the address: `{name}={value}` (not understood)."]
    assert address_of(app) == {}
    # Until something else is chosen; what people do not look at any more is not held against them.
    assert sentences(app.run())
    next(button for button in app.button if button.label == "Draw other pictures").click().run()
    assert sentences(app) == []


def test_what_a_page_does_not_know_is_told_of_in_one_short_sentence():
    words = {f"word{number}": "x" * 10_000 for number in range(30)} | {"draw": "7" * 40_000}
    app = visit(victim=VICTIM, **words)
    (sentence,) = sentences(app)
    assert sentence.startswith("Left out of the address: `word0=xxxxxxxxx")
    assert sentence.endswith(" and 27 more.")
    assert len(sentence) < 400
    assert address_of(app) == {}


def test_nothing_in_an_address_is_drawn_as_markdown():
    picture = "![](http://elsewhere/x.png)`**`"
    for query in ({"victim": picture}, {"victim": VICTIM, "run": picture}, {"victim": VICTIM, "class": picture}):
        (sentence,) = sentences(visit(**query))
        assert "elsewhere" in sentence
        assert "elsewhere" not in re.sub("`[^`]*`", "", sentence)


def test_a_class_that_another_victim_does_not_have_goes_without_a_word():
    app = visit(victim=CONTROL, **{"class": "airplane"})
    assert sentences(app) == []
    app.selectbox(key="sidebar/victim").set_value(VICTIM).run()
    assert sentences(app) == []
    assert "class" not in app.query_params


def test_a_wrong_victim_gives_a_sentence_and_a_way_on():
    app = visit(victim="cifar10-nothing", run="20000101-000000-none-0000")
    assert not app.exception
    (sentence,) = sentences(app)
    assert "cifar10-nothing" in sentence
    assert app.selectbox(key="sidebar/victim").value == VICTIM
    assert app.query_params["victim"] == VICTIM
    assert "run" not in app.query_params


def test_a_wrong_run_gives_a_sentence_and_a_way_on():
    app = visit(victim=VICTIM, run="../../etc/passwd")
    assert not app.exception
    (sentence,) = sentences(app)
    assert sentence.startswith("There is no run `../../etc/passwd`.")


def test_a_run_whose_victim_is_another_one_by_now_says_so(own_home):
    run = make_run()
    assert sentences(visit(victim=VICTIM, run=run.id)) == []
    path = own_home / "victims" / f"{VICTIM}.safetensors"
    save_file({name: tensor.clone().mul_(2) for name, tensor in load_file(path).items()}, path)
    app = visit(victim=VICTIM, run=run.id)
    assert not app.exception
    (sentence,) = sentences(app)
    assert sentence.startswith(f"The victim of the run '{run.id}' has changed since the run began")
    assert sentence.endswith("This page measures today's victim with the run's masks.")
    assert app.query_params["run"] == run.id
    # Defend measures nothing: it shows what was recorded.
    (sentence,) = sentences(visit("defend", victim=VICTIM, run=run.id))
    assert sentence.endswith(
        "This page shows what was recorded with the earlier victim; the other pages measure today's."
    )


def test_masks_are_shown_on_no_network_that_they_do_not_fit(own_home):
    run = make_run()
    card = replace(cache.victim_cards()[VICTIM], architecture="vgg6bnw2")
    save_victim(own_home / "victims", card, new_model("cifar10", "vgg6bnw2"))
    for page in ("start", "defend", "flip", "neurons", "tune", "export"):
        app = visit(page, victim=VICTIM, run=run.id)
        assert not app.exception
        sentence = sentences(app)[0]
        assert sentence.startswith(f"The victim of the run '{run.id}' is not the network that the run began with"), page
        assert "run" not in app.query_params


def test_asr_has_no_number_of_images_where_that_is_not_known(tiny_victims: Path):
    card, model = cache.victim_cards()[VICTIM], cache.victim(VICTIM).model
    save_victim(tiny_victims, replace(card, name="counted", n_triggered=8_765), model)
    captions = [caption.value for caption in visit(victim="counted").caption]
    assert sum("n\u00a0=\u00a08,765" in caption for caption in captions) == 2
    assert widgets._triggered(replace(card, dataset="gtsrb", target_label=3)) is None
    assert widgets._triggered(card) == 9_000


def test_another_victim_is_chosen_in_the_sidebar():
    app = visit(victim=VICTIM)
    app.selectbox(key="sidebar/victim").set_value(CONTROL).run()
    assert app.query_params["victim"] == CONTROL
    assert app.title[0].value == "A control without a backdoor"


def test_a_machine_without_victims_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr(settings, "victim_folders", lambda: [tmp_path])
    app = visit()
    assert not app.exception
    assert "invmask train" in sentences(app)[0]


def test_a_victim_whose_pictures_are_gone_or_have_fewer_classes_takes_no_page_with_it(tiny_victims: Path):
    known = cache.victim_cards()
    card, model = known[VICTIM], cache.victim(VICTIM).model
    save_victim(tiny_victims, replace(card, name="gone", dataset="folder:gone", target_label=1), model)
    save_victim(tiny_victims, replace(card, name="fewer", target_label=12), model)
    app = visit(victim=VICTIM)
    assert (list(app.exception), list(app.error)) == ([], [])
    assert app.title[0].value == "A backdoor, on a real victim"
    assert list(cache.victim_cards()) == list(known)


def test_the_usual_network_is_offered_first_with_the_plainest_attack(monkeypatch):
    monkeypatch.setattr(settings, "victim_folders", lambda *_: [settings.ASSETS / "victims"])
    names = list(cache.victim_cards())
    usual = [name for name in names if name.startswith("cifar10-preactresnet18w16-")]
    assert (usual[0], usual[-1]) == ("cifar10-preactresnet18w16-badnets", "cifar10-preactresnet18w16-clean")
    assert len(names) > len(usual) >= 9
    assert names[: len(usual)] == usual
