"""A run belongs to its maker: others watch, whatever their browser sends, and can make a run of their own."""

from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from invmask import settings
from invmask.runs.store import named_masks, owner
from invmask.runs.store.all_runs import RunStore
from invmask.runs.store.goals import Goal
from invmask.runs.store.run import Run
from invmask.ui.shell import steering
from tests.app.conftest import make_run, visit
from tests.unit.run_helpers import VICTIM

STEERS = {"Step", "Run", "Pause", "Stop", "Reset"}
OWN = "Make your own from these settings"


@pytest.fixture(autouse=True)
def home(tiny_victims: Path) -> Path:
    return tiny_victims.parent


def runs() -> list[Run]:
    return RunStore(settings.runs_folder()).runs()


def visitor(page: str, key: str, /, **query: str) -> AppTest:
    """Somebody whose browser holds this key."""
    app = visit(page, **{"victim": VICTIM, **query})
    app.session_state["visitor/keys"] = [key]
    app.run()
    assert not app.exception
    return app


def owned(key: str, rounds: int = 2) -> Run:
    run = make_run(rounds=rounds)
    owner.set_owner(run.path, key)
    return run


def buttons(app: AppTest) -> set[str]:
    return {each.label for each in app.button}


def press(app: AppTest, label: str) -> AppTest:
    next(button for button in app.button if button.label == label).click().run()
    assert not app.exception
    return app


def test_who_makes_a_run_owns_it():
    key = owner.new_key()
    app = press(visitor("defend", key), "Run")
    (run,) = runs()
    assert owner.may_steer(run.path, key)
    assert not owner.may_steer(run.path, owner.new_key())
    press(app, "Pause")
    assert run.want().goal is Goal.PAUSE


def test_others_see_no_button_that_steers_but_a_sentence_and_a_way_on():
    teacher, pupil = owner.new_key(), owner.new_key()
    run = owned(teacher)
    assert buttons(visitor("defend", teacher, run=run.id)) >= STEERS
    app = visitor("defend", pupil, run=run.id)
    assert not buttons(app) & STEERS
    assert any(steering.NOT_YOURS in each.value for each in app.markdown)
    press(app, OWN)
    new = next(each for each in runs() if each.id != run.id)
    assert owner.may_steer(new.path, pupil)
    assert not owner.may_steer(new.path, teacher)
    assert new.spec().config == run.spec().config
    assert buttons(app) >= STEERS
    assert run.want().goal is not Goal.FINISH


def test_a_run_without_an_owner_is_steered_by_all():
    run = make_run()
    app = visitor("defend", owner.new_key(), run=run.id)
    press(app, "Run")
    assert run.want().goal is Goal.FINISH


@pytest.mark.parametrize("label", sorted(STEERS - {"Pause"}))
def test_a_button_that_was_drawn_before_is_not_obeyed(label: str):
    teacher, pupil = owner.new_key(), owner.new_key()
    run = make_run()
    app = visitor("defend", pupil, run=run.id)
    button: Any = next(each for each in app.button if each.label == label)
    before = run.want()
    owner.set_owner(run.path, teacher)
    button.click().run()
    assert not app.exception
    assert run.want() == before
    assert [each.id for each in runs()] == [run.id]


def test_others_can_neither_name_nor_delete_it():
    run = owned(owner.new_key())
    app = visitor("flip", owner.new_key(), run=run.id)
    assert not {"Save the name", "Delete this run"} & buttons(app)


def test_others_can_neither_save_nor_delete_its_masks():
    teacher = owner.new_key()
    run = owned(teacher)
    named_masks.save(run, "mine", run.masks_at(2))
    for page in ("neurons", "tune"):
        app = visitor(page, owner.new_key(), run=run.id)
        assert not [each for each in app.text_input if each.label == "Name"]
        assert "Delete" not in buttons(app)
    assert [each for each in visitor("neurons", teacher, run=run.id).text_input if each.label == "Name"]


def test_the_key_is_nowhere_on_the_page():
    teacher = owner.new_key()
    run = owned(teacher)
    app = visitor("defend", owner.new_key(), run=run.id)
    drawn = str(app.main) + str(app.sidebar) + str(dict(app.query_params))
    assert run.id in drawn
    assert teacher not in drawn
    assert owner.hashed(teacher) not in drawn
