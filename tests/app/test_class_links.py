"""Links for a class: what they hide is neither drawn nor obeyed, on every page; and the form that makes them."""

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from streamlit.testing.v1 import AppTest

from invmask import settings
from invmask.runs.store.all_runs import RunStore
from invmask.ui.shell import hidden
from invmask.ui.shell.hidden import Hidden
from tests.app.conftest import address_of, make_run, sentences, visit
from tests.unit.run_helpers import CONTROL, VICTIM


@pytest.fixture(autouse=True)
def home(tiny_victims: Path) -> Path:
    return tiny_victims.parent


def opened(page: str, /, **query: str) -> AppTest:
    app = visit(page, **{"victim": VICTIM, **query})
    assert not app.exception
    return app


def again(app: AppTest) -> None:
    """AppTest draws the whole page where a browser draws a dialog alone; so open it again."""
    app.session_state["class-link/asked"] = True
    app.run()
    assert not app.exception


def buttons(app: AppTest) -> set[str]:
    return {each.label for each in app.button}


def labels(app: AppTest) -> set[str]:
    kinds = (app.button, app.selectbox, app.slider, app.number_input, app.segmented_control, app.radio)
    return {each.label for kind in kinds for each in kind}


@pytest.mark.parametrize(
    ("text", "pages", "controls"),
    [
        ("", set(), set()),
        ("pages:tune,results", {"tune", "results"}, set()),
        (" Pages: Tune , RESULTS ; Controls: spc ", {"tune", "results"}, {"spc"}),
        ("controls", set(), set(hidden.GROUPS)),
        ("controls:steer,inner_steps;pages:start", {"start"}, {"steer", "inner_steps"}),
    ],
)
def test_what_a_text_hides(text: str, pages: set[str], controls: set[str]):
    found, wrong = hidden.parse(text)
    assert (found.pages, found.controls, wrong) == (pages, controls, {})
    assert hidden.parse(found.text()) == (found, {})


def test_all_controls_and_all_settings_are_hidden_by_one_word():
    everything, settings = Hidden(controls=frozenset(hidden.GROUPS)), Hidden(controls=frozenset({"settings"}))
    assert everything.text() == "controls"
    assert all(everything.control(name) for name in hidden.control_names())
    assert settings.control("spc")
    assert settings.control("inner_steps")
    assert not settings.control("steer")
    assert not settings.control("victim")


@pytest.mark.parametrize(
    ("text", "told", "kept"),
    [
        ("pages:tune,moon", "`hide=pages:moon` (there is no such page)", "pages:tune"),
        ("controls:lambda", "`hide=controls:lambda` (there is no such control)", None),
        ("walls", "`hide=walls` (only pages and controls can be hidden)", None),
        ("pages;controls:spc", "`hide=pages` (name the pages, as in pages:tune,results)", "controls:spc"),
        ("pages:<b>x</b>", "`hide=pages:<b>x</b>` (there is no such page)", None),
    ],
)
def test_unknown_words_are_left_out_with_a_sentence(text: str, told: str, kept: str | None):
    app = opened("flip", hide=text)
    assert sentences(app)[0] == f"Left out of the address: {told}."
    assert address_of(app).get("hide") == kept


def test_a_hidden_page_says_so_and_the_list_stays_with_the_reader():
    app = opened("tune", hide="pages:tune,results")
    (told,) = [each.value for each in app.info]
    assert told == "The link that you opened hides the page Tune. Choose another page in the menu."
    assert address_of(app) == {"hide": "pages:tune,results"}
    # In the browser, Streamlit drops the query with a switch of pages.
    for page in ("flip", "results"):
        app.query_params.clear()
        app.switch_page(f"pages/{page}.py").run()
        assert not app.exception
        assert address_of(app)["hide"] == "pages:tune,results"
        assert any("hides the page" in each.value for each in app.info) == (page == "results")


def test_another_link_hides_something_else():
    app = opened("flip", hide="pages:tune")
    app.query_params["hide"] = "pages:neurons"
    app.run()
    assert address_of(app)["hide"] == "pages:neurons"


def test_hidden_controls_are_not_drawn_and_the_link_says_what_they_are():
    app = opened("defend", hide="controls:settings,victim,run", spc="1", seed="4", sparsity_weight="5")
    assert labels(app) == {"Step", "Run", "Pause", "Stop", "Reset"}
    words = [each.value for each in app.caption]
    assert "Set by the link that you opened: IMS, preset default, SPC 1, seed 4, Sparsity weight 5." in words
    # What they are is obeyed, and the choice of a victim is not.
    app.query_params["victim"] = VICTIM
    next(button for button in app.button if button.label == "Run").click().run()
    (run,) = RunStore(settings.runs_folder()).runs()
    assert (run.spec().spc, run.spec().seed) == (1, 4)


def test_one_hidden_setting_is_fixed_and_the_others_are_free():
    app = opened("defend", hide="controls:spc,seed", spc="2")
    assert "SPC, samples per class" not in labels(app)
    assert "Seed" not in labels(app)
    assert "Preset" in labels(app)
    assert any(each.value.endswith("SPC 2, seed 0.") for each in app.caption)
    app.segmented_control(key="defend/preset").set_value("paper").run()
    assert address_of(app) == {"hide": "controls:spc,seed", "preset": "paper", "spc": "2"}


def test_hidden_buttons_are_replaced_by_a_sentence():
    run = make_run()
    app = opened("defend", run=run.id, hide="controls:steer")
    assert not {"Step", "Run", "Pause", "Stop", "Reset", "Make your own from these settings"} & buttons(app)
    assert any("hides the buttons" in each.value for each in app.markdown)


def test_the_form_makes_the_link():
    app = opened("defend", spc="1")
    app.context["url"] = "http://lab:8501/defend"
    app.button(key="class-link/open").click().run()
    app.multiselect(key="class-link/pages/Defend").set_value(["Tune", "Results"])
    again(app)
    app.multiselect(key="class-link/controls").set_value(["spc", "steer"])
    again(app)
    app.toggle(key="class-link/embed").set_value(True)
    again(app)
    (made,) = [each.value for each in app.code if each.value.startswith("http")][-1:]
    parts = urlsplit(made)
    assert (parts.netloc, parts.path) == ("lab:8501", "/defend")
    query = {name: value for name, (value,) in parse_qs(parts.query).items()}
    assert query == {
        "victim": VICTIM,
        "spc": "1",
        "hide": "pages:tune,results;controls:steer,spc",
        "embed": "true",
    }
    # Whoever opens it sees just that.
    other = opened("defend", **{name: value for name, value in query.items() if name != "embed"})
    assert not other.warning
    assert "Run" not in buttons(other)
    assert "SPC, samples per class" not in labels(other)


def test_the_form_says_what_is_wrong_with_a_servers_address():
    app = opened("start")
    app.button(key="class-link/open").click().run()
    app.text_input(key="class-link/base").set_value("javascript:alert(1)")
    again(app)
    assert any("has to begin with http" in each.value for each in app.error)
    assert CONTROL not in str([each.value for each in app.code])
