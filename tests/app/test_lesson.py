"""The lessons: places in the address, questions that the run decides, and the way from step to step."""

from dataclasses import replace
from pathlib import Path

import pytest
import streamlit as st
import torch
from streamlit.testing.v1 import AppTest

from invmask import settings
from invmask.masks.algebra import effective_mask, inverse_mask
from invmask.runs.store.all_runs import RunStore
from invmask.runs.store.built_in import add_built_in
from invmask.runs.store.goals import Goal
from invmask.runs.store.run import Run
from invmask.ui.lesson import facts, mask_data
from invmask.ui.lesson.content import Option, lessons, right_option
from invmask.ui.lesson.facts import FACTS, fact_of
from invmask.ui.lesson.situation import Situation, built_in_run
from invmask.ui.shell import cache
from invmask.ui.shell.address_words import WORDS
from tests.app.conftest import sentences, visit

FASHION = "fashionmnist-cnn4-badnets"
SHORT, LONG = lessons()["short"], lessons()["long"]


@pytest.fixture
def runs() -> Path:
    """The built-in runs, in this test's home."""
    add_built_in(settings.runs_folder())
    cache.forget_listing()
    return settings.runs_folder()


def lesson(step: int, page: str = "start", /, **more: str) -> AppTest:
    return visit(page, lesson="short", lesson_step=str(step), **more)


def held(app: AppTest, name: str) -> str | None:
    value = app.query_params.get(name)
    return value[-1] if isinstance(value, list) else value


def texts(app: AppTest) -> str:
    return "\n".join(text.value for text in app.markdown).replace("\\", "")


def button(app: AppTest, key: str):
    return next(button for button in app.button if button.key == key)


def finished(victim: str) -> Run:
    name = built_in_run(victim)
    assert name is not None
    return RunStore(settings.runs_folder()).run(name)


@pytest.mark.parametrize("step", ["99", "0", "-1", "1.5", "x", "١", "9" * 400])
def test_a_wrong_step_begins_the_lesson_and_says_so(step: str):
    app = visit(lesson="short", lesson_step=step)
    assert not app.exception
    (sentence,) = sentences(app)
    assert "the lesson has steps 1 to 9" in sentence
    assert held(app, "lesson_step") is None
    assert app.subheader[0].value == SHORT.steps[0].title


@pytest.mark.parametrize("name", ["nonsense", "", "Short", "../short", "![](http://elsewhere/x.png)"])
def test_a_wrong_lesson_leaves_the_address(name: str):
    app = visit(lesson=name, lesson_step="3", lesson_answers="1-2")
    assert not app.exception
    assert len(sentences(app)) == (1 if name else 0)
    assert [held(app, word) for word in ("lesson", "lesson_step", "lesson_answers")] == [None] * 3
    assert not [element for element in app.subheader if element.value == SHORT.steps[2].title]


@pytest.mark.parametrize("answers", ["x", "1-99", "99-1", "1-", "1-0-0", "....", "1-x", "9" * 3000])
def test_wrong_answers_are_no_answers(answers: str):
    app = lesson(1, victim=FASHION, lesson_answers=answers)
    assert not app.exception
    assert app.radio[0].value is None


def test_no_lesson_no_panel():
    app = visit()
    assert not [one for one in app.button if (one.key or "").startswith("lesson/")]
    assert not app.radio


@pytest.mark.usefixtures("tiny_victims")
def test_a_victim_that_is_missing_is_told_of():
    assert f"The victim of this step, '{FASHION}', is not on this machine." in sentences(lesson(1))


def test_an_answer_is_checked_and_stays_in_the_address():
    app = lesson(1, victim=FASHION)
    assert "100.0" not in texts(app)
    app.radio[0].set_value(0).run()
    assert held(app, "lesson_answers") == "1-0"
    assert "It is: More than 90." in texts(app)
    assert "is 100.0\u00a0% for this victim" in texts(app)
    again = lesson(1, victim=FASHION, lesson_answers="1-3")
    assert "Right." in texts(again)
    assert "You said: More than 90." in texts(again)


@pytest.mark.usefixtures("runs")
def test_a_step_of_another_page_or_victim_has_a_way_there():
    app = lesson(2)
    assert app.query_params["victim"] != [FASHION]
    button(app, "lesson/there").click().run()
    assert not app.exception
    assert app.title[0].value == "Neurons"
    assert held(app, "victim") == FASHION
    assert held(app, "run") == built_in_run(FASHION)
    assert any(element.label == SHORT.steps[1].ask for element in app.radio)


@pytest.mark.usefixtures("runs")
def test_next_and_back_keep_answers_and_lead_to_the_right_page():
    app = lesson(3, "lesson", victim=FASHION, run=finished(FASHION).id, lesson_answers="1-3.2-0")
    button(app, "lesson/next").click().run()
    assert app.title[0].value == "Defend"
    assert (held(app, "lesson_step"), held(app, "lesson_answers")) == ("4", "1-3.2-0")
    # The learner begins a run of their own.
    assert held(app, "run") is None
    button(app, "lesson/back").click().run()
    assert app.title[0].value == "A mask by hand"
    assert held(app, "run") == built_in_run(FASHION)
    button(app, "lesson/leave").click().run()
    assert not [name for name in app.query_params if name.startswith("lesson")]


@pytest.mark.usefixtures("runs")
def test_the_button_runs_one_stage_of_a_run_of_ones_own():
    app = lesson(4, "defend", victim=FASHION)
    app.selectbox(key="lesson/answer/short/4").set_value(2).run()
    assert "The run decides." in " ".join(caption.value for caption in app.caption)
    button(app, "lesson/run").click().run()
    assert not app.exception
    run = RunStore(settings.runs_folder()).run(held(app, "run") or "")
    spec, want = run.spec(), run.want()
    assert (spec.victim, spec.preset, spec.spc) == (FASHION, "default", 10)
    assert (want.goal, want.stage) == (Goal.ADVANCE, "search")
    assert run.id not in {path.stem for path in (settings.ASSETS / "runs").glob("*.zip")}


@pytest.mark.usefixtures("runs")
def test_a_finished_run_is_shown_from_before_the_stage():
    app = lesson(5, "defend", victim=FASHION)
    button(app, "lesson/finished").click().run()
    entries = finished(FASHION).entries()
    stage = [entry for entry in entries if entry.record.stage == "minimise"]
    assert held(app, "run") == built_in_run(FASHION)
    assert held(app, "round") == str(stage[0].record.round - 1)
    app.radio(key="lesson/answer/short/5").set_value(3).run()
    pruned = stage[-1].views.pruned
    assert pruned is not None
    assert f"ASR of the pruned view was {100 * (pruned.asr or 0):.1f}\u00a0%" in texts(app)
    button(app, "lesson/end").click().run()
    assert held(app, "round") == str(stage[-1].record.round)


def test_the_link_to_a_step_holds_no_answers():
    app = lesson(1, victim=FASHION, lesson_answers="1-3")
    link = next(code.value for code in app.code if "lesson_step" in code.value)
    assert f"victim={FASHION}" in link
    assert "lesson=short&lesson_step=1" in link
    assert "answers" not in link


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize("name", ["short", "long"])
def test_the_built_in_runs_decide_every_question(name: str):
    known = lessons()[name]
    for step in known.steps:
        card = cache.victim_cards()[known.victim_of(step)]
        run = finished(card.name)
        here = Situation(known, step, card, run.summary() if step.run != "any" else None)
        fact = fact_of(here)
        assert fact is not None, step.name
        assert step.page in WORDS
        words = here.words()
        for text in (step.text, step.do, step.ask, step.notice, step.told):
            assert "{" not in text.format(**{**words, **fact.words})
        right_option(step.options_for(card.dataset_info.classes), fact.value)


@pytest.mark.usefixtures("runs")
def test_facts_are_those_of_the_run():
    run = finished(FASHION)
    card, entries = cache.victim_cards()[FASHION], run.entries()
    steps = {step.name: step for step in SHORT.steps}
    search = [entry for entry in entries if entry.record.stage == "search"][-1]
    here = Situation(SHORT, steps["search"], card, run.summary())
    assert FACTS["search_label"](here).value == str(search.record.notes["label"]) == str(card.target_label)
    assert FACTS["inverse_acc_at_end"](here).value == pytest.approx(100 * entries[-1].views.inverse.acc)
    assert FACTS["pruned_ra"](here).value == pytest.approx(100 * run.summary().result.views.pruned.ra)
    # Nothing is decided without a run, or before the stage has ended.
    assert fact_of(replace(here, run=None)) is None
    for name in ("late_cuts", "one_channel_cut", "channels_needed", "asr_at_end", "verdict"):
        assert FACTS[name](replace(here, run=None)) is None


def test_options_are_right_for_their_range():
    options = (Option("a", below=10), Option("b", below=50), Option("c"))
    assert [right_option(options, value) for value in (0, 9.9, 10, 49.9, 50, 100)] == [0, 0, 1, 1, 2, 2]
    words = (Option("x", value="left"), Option("y", value="right"))
    assert right_option(words, "right") == 1
    with pytest.raises(ValueError, match="No option"):
        right_option(words, "none")


@pytest.mark.usefixtures("runs")
def test_the_mask_by_hand_is_the_algebra_and_the_measured_network():
    pruned, inverse = mask_data.tables()
    at = torch.linspace(0, 1, mask_data.STEPS)
    for a, s in ((0, 0), (10, 3), (25, 50), (50, 17)):
        assert pruned[a, s] == pytest.approx(float(effective_mask(at[a], at[s], 20)), abs=1e-6)
        assert inverse[a, s] == pytest.approx(float(inverse_mask(at[a], at[s], 20)), abs=1e-6)
    run, card = finished(FASHION), cache.victim_cards()[FASHION]
    found = mask_data._gated(run.id, run.summary().round, cache.victim_stamp(FASHION))
    assert found is not None
    assert found.asr is not None
    here = Situation(SHORT, SHORT.steps[2], card, run.summary())
    ranked = facts.top_channels(here) or []
    for group, number in enumerate(mask_data.GROUPS):
        cut = facts._with_first_cut(here, ranked, number)
        assert (found.asr[group, 0], found.acc[group, 0]) == pytest.approx((cut.asr, cut.acc), abs=0.006)
        whole = facts._with_first_cut(here, ranked, 0)
        assert (found.asr[group, -1], found.acc[group, -1]) == pytest.approx((whole.asr, whole.acc), abs=0.006)


@pytest.mark.usefixtures("runs")
def test_every_control_of_the_panel_is_outside_of_fragments_while_a_run_is_under_way(monkeypatch: pytest.MonkeyPatch):
    app = lesson(4, "defend", victim=FASHION)
    button(app, "lesson/run").click().run()
    # A click in a fragment is lost if the fragment ends while the page is drawn.
    monkeypatch.setattr(st, "fragment", lambda function, **_: lambda *given: None)
    app.run()
    assert not app.exception
    keys = {one.key for one in app.button}
    assert {f"lesson/{key}" for key in ("head/Back", "head/Next", "run", "next", "back", "leave")} <= keys
    assert button(app, "lesson/run").label == "Running …"
    assert app.selectbox(key="lesson/answer/short/4").label == SHORT.steps[3].ask


@pytest.mark.usefixtures("runs")
def test_the_way_to_another_page_is_kept_until_it_is_shown(monkeypatch: pytest.MonkeyPatch):
    app = lesson(3, "lesson", victim=FASHION, run=finished(FASHION).id)
    # Another rerun ends the one that goes there.
    with monkeypatch.context() as patched:
        patched.setattr(st, "switch_page", lambda _: st.stop())
        button(app, "lesson/next").click().run()
    app.run()
    assert app.title[0].value == "Defend"
    assert held(app, "lesson_step") == "4"


@pytest.mark.usefixtures("runs")
def test_the_evidence_begins_with_nothing_cut():
    app = lesson(7, "flip", victim=FASHION, run=finished(FASHION).id)
    button(app, "lesson/next").click().run()
    assert app.title[0].value == "Neurons"
    assert held(app, "n") == "0"


def test_a_step_leads_with_words_that_its_page_knows():
    for step in (*SHORT.steps, *LONG.steps):
        assert set(step.link) <= set(WORDS[step.page]), step.name


@pytest.mark.usefixtures("runs")
def test_the_attack_that_no_picture_draws_begins_at_the_end_of_the_search():
    step = next(step for step in LONG.steps if step.name == "invisible")
    found = [entry.record for entry in finished(step.victim or "").entries() if entry.record.stage == "search"]
    assert step.link == {"round": str(found[-1].round)}
