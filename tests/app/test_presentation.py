"""The presenter's live link: who opens it sees what the presenter looks at, without controls, and cannot change it."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from invmask import settings
from invmask.runs.store import presentation
from invmask.runs.store.owner import new_key
from invmask.runs.store.presentation import Shown
from tests.app.conftest import address_of, make_run, sentences, visit
from tests.unit.run_helpers import CONTROL, VICTIM

TEACHER = new_key()


@pytest.fixture(autouse=True)
def home(tiny_victims: Path) -> Path:
    return tiny_victims.parent


def presented(page: str, query: Mapping[str, str]) -> str:
    return presentation.begin(settings.home(), TEACHER, Shown(page, query))


def title(app: AppTest) -> str:
    assert not app.exception
    return app.title[0].value


def held(app: AppTest, name: str) -> str | None:
    value = app.query_params.get(name)
    return value[-1] if isinstance(value, list) else value


def test_who_follows_sees_page_victim_run_round_and_view():
    run = make_run()
    name = presented("Flip", {"victim": VICTIM, "run": run.id, "view": "inverse", "round": "2"})
    app = visit(live=name)
    assert title(app) == "Flip the mask"
    assert (held(app, "victim"), held(app, "run")) == (VICTIM, run.id)
    assert address_of(app) == {"live": name, "view": "inverse", "round": "2"}
    # From page to page, whatever the reader would like to see.
    presentation.show(settings.home(), name, TEACHER, Shown("Defend", {"victim": VICTIM, "run": run.id, "round": "1"}))
    app.query_params["view"] = "pruned"
    app.run()
    assert title(app) == "Defend"
    assert address_of(app) == {"live": name, "round": "1"}
    presentation.show(settings.home(), name, TEACHER, Shown("Attack lab", {"victim": CONTROL}))
    app.run()
    assert title(app) == "Attack lab"
    assert held(app, "run") is None
    assert held(app, "victim") == CONTROL


def test_who_follows_has_no_controls():
    run = make_run()
    name = presented("Defend", {"victim": VICTIM, "run": run.id})
    app = visit(live=name)
    buttons = {each.label for each in app.button}
    assert "Look around on your own" in buttons
    assert not {"Step", "Run", "Pause", "Stop", "Reset", "Class link", "Delete"} & buttons
    assert not {"Victim", "Run"} & {each.label for each in app.selectbox}
    assert any("You follow a presenter" in each.value for each in app.markdown)
    before = presentation.read(settings.home(), name)
    app.run()
    assert presentation.read(settings.home(), name) == before


def test_whoever_wants_to_look_around_stays_on_the_page_with_all_controls():
    run = make_run()
    name = presented("Flip", {"victim": VICTIM, "run": run.id, "view": "pruned"})
    app = visit(live=name)
    app.button(key="live/leave").click().run()
    assert title(app) == "Flip the mask"
    assert address_of(app) == {"view": "pruned"}
    assert "Class link" in {each.label for each in app.button}
    presentation.show(settings.home(), name, TEACHER, Shown("Start", {}))
    app.run()
    assert title(app) == "Flip the mask"


@pytest.mark.parametrize("name", ["abcdefghij", "nonsense", "../../x", "<b>x</b>"])
def test_an_ended_presentation_says_so(name: str):
    app = visit(victim=VICTIM, live=name)
    assert not app.exception
    assert sentences(app)[0] == f"Left out of the address: `live={name}` (this presentation has ended, or never was)."
    assert address_of(app) == {}


def test_a_page_that_nobody_knows_is_no_presentation():
    app = visit(victim=VICTIM, live=presented("Secrets", {"victim": VICTIM}))
    assert not app.exception
    assert "has ended" in sentences(app)[0]


def test_a_deleted_run_is_told_of():
    app = visit(live=presented("Flip", {"victim": VICTIM, "run": "20260101-000000-gone-0000"}))
    assert title(app) == "Flip the mask"
    assert any("There is no run" in sentence for sentence in sentences(app))


def test_the_form_begins_a_presentation_that_follows_the_presenter_and_ends_it():
    run = make_run()
    teacher = visit("flip", victim=VICTIM, run=run.id)
    teacher.context["url"] = "http://lab:8501/flip"
    teacher.button(key="class-link/open").click().run()
    teacher.segmented_control(key="class-link/kind").set_value("Follows what I look at")
    teacher.session_state["class-link/asked"] = True
    teacher.run()
    # AppTest draws the whole page where a browser draws a dialog alone; so open it again.
    teacher.session_state["class-link/asked"] = True
    teacher.button(key="class-link/begin").click().run()
    assert not teacher.exception
    name = held(teacher, "live")
    assert name is not None
    (made,) = [each.value for each in teacher.code if "live=" in each.value][-1:]
    assert made == f"http://lab:8501/?live={name}"

    pupil = visit(live=name)
    assert title(pupil) == "Flip the mask"
    # What the presenter chooses is told at the end of every run of the page, and by a fragment.
    teacher.switch_page("pages/defend.py").run()
    pupil.run()
    assert title(pupil) == "Defend"
    assert held(pupil, "run") == run.id

    teacher.session_state["class-link/asked"] = True
    teacher.run()
    teacher.session_state["class-link/asked"] = True
    teacher.button(key="class-link/end").click().run()
    assert held(teacher, "live") is None
    assert presentation.read(settings.home(), name) is None
    pupil.run()
    assert "has ended" in sentences(pupil)[0]
    assert title(pupil) == "Defend"


def test_a_presenter_whose_browser_has_the_key_presents_again_after_a_reload(monkeypatch: pytest.MonkeyPatch):
    name = presented("Start", {"victim": VICTIM})
    monkeypatch.setattr("invmask.ui.shell.visitor.all_keys", lambda: [TEACHER])
    app = visit("flip", victim=VICTIM, live=name)
    assert title(app) == "Flip the mask"
    found = presentation.read(settings.home(), name)
    assert found is not None
    assert found.shown.page == "Flip"
    assert "Your class follows you" in {each.label for each in app.button}
