"""Exercises as links: the settings of a new run are in the address, and whoever opens it only has to press Run."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from streamlit.testing.v1 import AppTest

from invmask.defenses import registry
from invmask.runs.store.all_runs import RunStore
from invmask.runs.store.spec import RunSpec
from invmask.ui.defend import exercise
from invmask.ui.shell import cache
from invmask.ui.shell.new_run_words import DEFENSE, PRESET, SPC
from invmask.victims.victim import new_model, save_victim
from tests.app.conftest import address_of, make_run, sentences, visit
from tests.unit.run_helpers import CONTROL, VICTIM

IMS = "defend/set/ims/"


@pytest.fixture(autouse=True)
def home(tiny_victims: Path) -> Path:
    return tiny_victims.parent


def opened(**words: str) -> AppTest:
    """Defend without a run, opened with these words."""
    app = visit("defend", **{"victim": VICTIM, **words})
    assert not app.exception
    return app


def press_run(app: AppTest) -> AppTest:
    next(button for button in app.button if button.label == "Run").click().run()
    assert not app.exception
    return app


def only_spec(home: Path) -> RunSpec:
    (run,) = RunStore(home / "runs").runs()
    return run.spec()


def transformer(home: Path) -> str:
    torch.manual_seed(2)
    name = "cifar10-vitw32-badnets"
    card = replace(cache.victim_cards()[VICTIM], name=name, architecture="vitw32")
    save_victim(home / "victims", card, new_model("cifar10", "vitw32"))
    return name


def test_a_link_fills_the_controls():
    words = {"preset": "paper", "spc": "1", "seed": "7", "sparsity_weight": "5", "inner_learning_rate": "0.01"}
    app = opened(**words)
    assert app.selectbox(key="defend/defense").value == "ims"
    assert app.segmented_control(key="defend/preset").value == "paper"
    assert app.slider(key="defend/spc").value == 1
    assert app.number_input(key=f"{IMS}seed").value == 7
    assert app.slider(key=f"{IMS}sparsity_weight").value == 5
    assert app.number_input(key=f"{IMS}inner_learning_rate").value == 0.01
    assert app.number_input(key=f"{IMS}inner_steps").value == registry.entry("ims").preset("paper").inner_steps
    assert address_of(app) == words
    assert not app.warning
    # And so it stays, whatever is drawn anew.
    app.run()
    assert address_of(app) == words
    assert app.slider(key=f"{IMS}sparsity_weight").value == 5


def test_what_the_page_offers_first_is_not_in_the_address():
    assert address_of(opened()) == {}
    usual = registry.entry("ims").preset("default")
    app = opened(defense="ims", preset="default", spc="10", seed="0", steepness=f"{usual.steepness:g}")
    assert address_of(app) == {}
    assert not app.warning


def test_changing_a_control_changes_the_address_and_back_to_what_is_offered_first_removes_it():
    app, usual = opened(), registry.entry("ims").preset("default")
    app.slider(key="defend/spc").set_value(2).run()
    assert address_of(app) == {"spc": "2"}
    app.slider(key=f"{IMS}sparsity_weight").set_value(5.0).run()
    app.number_input(key=f"{IMS}outer_learning_rate").set_value(0.0003).run()
    app.number_input(key=f"{IMS}seed").set_value(2_147_483_647).run()
    changed = {"spc": "2", "seed": "2147483647", "sparsity_weight": "5", "outer_learning_rate": "0.0003"}
    assert address_of(app) == changed
    app.slider(key="defend/spc").set_value(10).run()
    app.slider(key=f"{IMS}sparsity_weight").set_value(usual.sparsity_weight).run()
    app.number_input(key=f"{IMS}seed").set_value(0).run()
    app.number_input(key=f"{IMS}outer_learning_rate").set_value(usual.outer_learning_rate).run()
    assert address_of(app) == {}


def test_another_preset_or_defence_takes_its_settings_along():
    app = opened(seed="3", inner_steps="9")
    app.segmented_control(key="defend/preset").set_value("paper").run()
    assert address_of(app) == {"preset": "paper", "seed": "3"}
    app.selectbox(key="defend/defense").set_value("anp").run()
    assert address_of(app) == {"defense": "anp"}
    app.number_input(key="defend/set/anp/iterations").set_value(3).run()
    assert address_of(app) == {"defense": "anp", "iterations": "3"}
    app.selectbox(key="defend/defense").set_value("ims").run()
    assert address_of(app) == {"seed": "3"}


@pytest.mark.parametrize(
    ("defense", "changes"),
    [
        ("ims", {"sparsity_weight": 5.0, "rounds_search": 4, "mixing": 0.25}),
        ("anp", {"iterations": 3, "disturbance": 0.1}),
        ("ft", {"epochs": 2, "weight_decay": 0.00001}),
    ],
)
def test_run_makes_a_run_of_exactly_the_settings_of_the_link(home: Path, defense: str, changes: dict[str, float]):
    words = {name: str(value) for name, value in changes.items()}
    app = press_run(opened(defense=defense, spc="1", seed="4", **words))
    entry, spec = registry.entry(defense), only_spec(home)
    assert (spec.victim, spec.defense, spec.preset, spec.spc, spec.seed) == (VICTIM, defense, entry.first_preset, 1, 4)
    assert spec.config == entry.preset(entry.first_preset, **changes, seed=4)
    # The run has its settings; the address needs none.
    assert list(address_of(app)) == []
    assert not app.warning


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"spc": "0"}, "`spc=0` (has to be from 1 to 100)"),
        ({"spc": "**2**"}, "`spc=**2**` (not understood)"),
        ({"preset": "<b>best</b>"}, "`preset=<b>best</b>` (not understood)"),
        ({"defense": "magic"}, "`defense=magic` (not understood)"),
        ({"sparsity_weight": "50.5"}, "`sparsity_weight=50.5` (has to be from 0 to 50)"),
        ({"sparsity_weight": "-1"}, "`sparsity_weight=-1` (has to be from 0 to 50)"),
        ({"sparsity_weight": "nan"}, "`sparsity_weight=nan` (not a number)"),
        ({"sparsity_weight": "1e99"}, "`sparsity_weight=1e99` (has to be from 0 to 50)"),
        ({"inner_steps": "2.5"}, "`inner_steps=2.5` (not a whole number)"),
        ({"seed": "2147483648"}, "`seed=2147483648` (has to be from 0 to 2147483647)"),
        ({"steepness": "\u0665"}, "`steepness=\u0665` (not a number)"),
        ({"lambda": "5"}, "`lambda=5` (not known on this page)"),
        ({"epochs": "5"}, "`epochs=5` (IMS has no such setting)"),
        ({"defense": "ft", "sparsity_weight": "5"}, "`sparsity_weight=5` (FT has no such setting)"),
        ({"defense": "anp", "preset": "paper", "epochs": "5"}, "`epochs=5` (ANP has no such setting)"),
    ],
)
def test_nonsense_is_left_out_with_a_sentence(words: dict[str, str], told: str):
    app = opened(**words)
    assert sentences(app)[0] == f"Left out of the address: {told}."
    kept = {name: value for name, value in words.items() if not told.startswith(f"`{name}=")}
    assert address_of(app) == kept
    assert app.selectbox(key="defend/defense").value == kept.get("defense", "ims")
    # Nothing of it stands anywhere else, and the sentence goes with the reader's next choice.
    bad = next(value for name, value in words.items() if name not in kept)
    if len(bad) > 4:
        assert not any(bad in each.value for each in (*app.caption, *app.markdown, *app.info, *app.error))
    app.slider(key="defend/spc").set_value(3).run()
    assert not app.warning
    assert address_of(app)["spc"] == "3"


def test_what_is_right_beside_nonsense_is_taken():
    app = opened(spc="2", sparsity_weight="5", inner_steps="many", epochs="3")
    (told,) = [each.value for each in app.warning]
    assert (
        told
        == "Left out of the address: `epochs=3` (IMS has no such setting), `inner_steps=many` (not a whole number)."
    )
    assert address_of(app) == {"spc": "2", "sparsity_weight": "5"}
    assert app.slider(key=f"{IMS}sparsity_weight").value == 5


def test_settings_that_no_run_can_begin_with_are_not_in_the_address():
    app = opened(inner_steps="9")
    app.number_input(key=f"{IMS}inner_steps").set_value(5000).run()
    assert address_of(app) == {}
    # Each is in its range, but not all together: the page says so.
    app = opened(rounds_minimise="0", rounds_sparsify="0")
    assert not app.warning
    assert any("At least one phase that learns the mask needs a round." in each.value for each in app.main.error)
    assert address_of(app) == {"rounds_minimise": "0", "rounds_sparsify": "0"}


def test_a_transformer_begins_from_its_own_presets(home: Path):
    name = transformer(home)
    app = opened(victim=name, preset="paper", spc="1")
    assert app.slider(key=f"{IMS}sparsity_weight").value == 0
    assert address_of(app) == {"preset": "paper", "spc": "1"}
    app = opened(victim=name, preset="paper", spc="1", sparsity_weight="10")
    assert address_of(app) == {"preset": "paper", "spc": "1", "sparsity_weight": "10"}
    press_run(app)
    assert only_spec(home).config == registry.entry("ims").preset("paper", True, sparsity_weight=10.0)


def test_another_victim_of_the_same_kind_keeps_the_exercise_and_one_of_another_takes_its_presets(home: Path):
    app = opened(preset="paper", spc="2", seed="4", inner_steps="7")
    app.selectbox(key="sidebar/victim").set_value(CONTROL).run()
    assert app.query_params["victim"] in (CONTROL, [CONTROL])
    assert address_of(app) == {"preset": "paper", "spc": "2", "seed": "4", "inner_steps": "7"}
    name = transformer(home)
    app.run()
    app.selectbox(key="sidebar/victim").set_value(name).run()
    assert not app.exception
    assert address_of(app) == {"preset": "paper", "spc": "2", "seed": "4"}


def test_the_run_wins():
    run = make_run()
    app = opened(run=run.id, spc="7", sparsity_weight="5")
    assert app.slider(key="defend/spc").value == run.spec().spc
    told = "`spc=7` (the run has its own settings), `sparsity_weight=5` (the run has its own settings)"
    assert f"Left out of the address: {told}." in sentences(app)
    assert address_of(app) == {}
    # Without the run, the controls keep its settings, and they are in the address.
    app.selectbox(key=f"sidebar/run/{run.id}").set_value("").run()
    assert app.slider(key="defend/spc").value == run.spec().spc == 1
    held = address_of(app)
    assert (held["preset"], held["spc"], held["inner_steps"]) == ("paper", "1", "2")
    # Whoever opens this link gets the same settings.
    again = opened(**held)
    assert address_of(again) == held
    assert not again.warning


def test_the_exercise_outlasts_a_look_at_other_pages():
    app = opened(spc="2")
    app.number_input(key=f"{IMS}inner_steps").set_value(7).run()
    # In the browser, Streamlit drops the query with a switch of pages.
    app.query_params.clear()
    app.switch_page("pages/flip.py").run()
    assert address_of(app) == {}
    app.query_params.clear()
    app.switch_page("pages/defend.py").run()
    assert not app.exception
    assert address_of(app) == {"spc": "2", "inner_steps": "7"}
    assert app.slider(key="defend/spc").value == 2
    assert app.number_input(key=f"{IMS}inner_steps").value == 7


def test_an_address_from_before_does_not_undo_what_the_reader_just_chose():
    app = opened(spc="2", inner_steps="7")
    app.slider(key="defend/spc").set_value(3).run()
    # A slow browser sends the address as it was, together with the next choice.
    app.query_params["spc"] = "2"
    app.number_input(key=f"{IMS}inner_steps").set_value(8).run()
    assert app.slider(key="defend/spc").value == 3
    assert address_of(app) == {"spc": "3", "inner_steps": "8"}
    assert not app.warning


def test_an_address_from_before_is_late_for_a_moment_and_then_the_readers_way_back(monkeypatch: pytest.MonkeyPatch):
    app = opened(spc="2", inner_steps="7")
    app.slider(key="defend/spc").set_value(3).run()
    # A slow browser sends the address as it was, together with a click on something else.
    app.query_params["spc"] = "2"
    app.run()
    assert app.slider(key="defend/spc").value == 3
    assert address_of(app) == {"spc": "3", "inner_steps": "7"}
    # The browser's way back, some time after the change.
    monkeypatch.setattr(exercise, "LATE_SECONDS", 0)
    app.query_params["spc"] = "2"
    app.run()
    assert app.slider(key="defend/spc").value == 2
    assert address_of(app) == {"spc": "2", "inner_steps": "7"}


def test_the_link_says_what_it_holds():
    run = make_run()

    def told(app: AppTest) -> str:
        return next(each.value for each in app.markdown if each.value.startswith("Whoever opens this link"))

    assert told(opened(spc="2")).endswith("page, victim and settings. Run begins a run with them.")
    assert told(opened(run=run.id)).endswith("page, victim, run and choices.")
    assert told(visit("flip", victim=VICTIM)).endswith("page, victim and choices.")


def test_every_number_is_read_from_the_address_as_it_was_written():
    values = {"learning_rate": 1.5e-05, "momentum": 0.0, "weight_decay": 0.1 / 3}
    app = opened(defense="ft")
    app.slider(key="defend/set/ft/learning_rate").set_value(values["learning_rate"])
    app.number_input(key="defend/set/ft/momentum").set_value(values["momentum"])
    app.number_input(key="defend/set/ft/weight_decay").set_value(values["weight_decay"])
    held = address_of(app.run())
    assert held == {
        "defense": "ft",
        "learning_rate": "1.5e-05",
        "momentum": "0",
        "weight_decay": "0.03333333333333333",
    }
    again = opened(**held)
    assert {name: again.session_state[f"defend/set/ft/{name}"] for name in values} == values
    assert address_of(again) == held


def test_no_setting_has_the_name_of_another_word():
    others = {"victim", "run", "round", DEFENSE, PRESET, SPC}
    for entry in registry.entries().values():
        assert not others & {setting.name for setting in entry.config.settings()}
