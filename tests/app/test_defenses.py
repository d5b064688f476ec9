"""Every defence on the pages: Defend and Flip draw what it has, and no more."""

import json
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from invmask.defenses import registry
from invmask.defenses.entry import Entry
from invmask.masks.state import View
from invmask.runs.store.run import Run
from invmask.runs.store.spec import RunSpec
from tests.app.conftest import charts, sentences, visit
from tests.unit.run_helpers import VICTIM, taken
from tests.unit.test_defenses import every_defense, short


@pytest.fixture(autouse=True)
def home(tiny_victims: Path) -> Path:
    return tiny_victims.parent


def run_of(home: Path, entry: Entry, rounds: int = 3) -> Run:
    config = short(entry)
    return taken(home, RunSpec(VICTIM, entry.first_preset, 1, 0, config, probe_per_class=2, defense=entry.name), rounds)


def page(name: str, run: Run) -> AppTest:
    app = visit(name, victim=VICTIM, run=run.id)
    assert not app.exception
    assert not app.error
    return app


def written(app: AppTest) -> str:
    return "\n".join([*(each.value for each in (*app.subheader, *app.caption, *app.markdown)), *sentences(app)])


@every_defense
def test_defend_draws_its_views_stages_terms_and_what_else_it_has(entry: Entry, home: Path) -> None:
    run = run_of(home, entry)
    app = page("defend", run)
    drawn = "\n".join(element.proto.body for element in app.get("html"))
    shown = [view for view in View if f'{view.capitalize()} view"' in drawn]
    assert shown == [view for view in View if view in run.shapes().views]
    assert all(stage.title in drawn for stage in entry.stages)
    titles = [each.value for each in app.subheader]
    assert ("All channels" in titles) == entry.capabilities.channels
    assert ("Synthesized triggers" in titles) == entry.capabilities.triggers
    maps = [group.options for group in app.get("button_group") if group.key.startswith("defend/map/")]
    of_map = ["Selection"] * entry.capabilities.invertible + ["Pruned", "Inverse"]
    assert [[title.split()[0] for title in titles] for titles in maps] == [of_map] * entry.capabilities.channels
    app.segmented_control(key="defend/below").set_value("Terms of the loss").run()
    assert "The terms of the loss" in [each.value for each in app.subheader]
    spec = json.dumps(charts(app)["defend-losses"])
    assert all(term.title.split(",")[0] in spec for term in entry.terms.values())
    assert app.selectbox(key="defend/defense").value == entry.name


@every_defense
def test_flip_shows_each_of_its_views(entry: Entry, home: Path) -> None:
    run = run_of(home, entry)
    for view in run.shapes().views:
        app = visit("flip", victim=VICTIM, run=run.id, view=view.value)
        assert not app.exception
        assert not app.error
        assert app.segmented_control(key="flip-view").value == view.value
        assert any(f"{view.value.capitalize()} view: ASR" in each.value for each in app.caption)


@every_defense
def test_neurons_and_tune_are_there_for_those_with_channels(entry: Entry, home: Path) -> None:
    run = run_of(home, entry)
    for name, capable in (("neurons", entry.capabilities.channels), ("tune", entry.capabilities.cuts)):
        said = written(page(name, run))
        assert (f"{entry.title} changes the network's weights" in said) != capable


@every_defense
def test_export_offers_its_views(entry: Entry, home: Path) -> None:
    run = run_of(home, entry)
    app = page("export", run)
    views = run.shapes().views
    chooser = app.segmented_control(key=f"export/view/{'/'.join(views)}")
    assert list(chooser.options) == [view.value.capitalize() for view in views]
    assert chooser.value == views[1]


def test_another_defense_brings_its_own_settings_and_presets() -> None:
    app = visit("defend", victim=VICTIM)
    for entry in registry.entries().values():
        app = app.selectbox(key="defend/defense").set_value(entry.name).run()
        assert not app.exception
        keys = {each.key for kind in (app.slider, app.number_input) for each in kind}
        names = [setting.name for setting in entry.config.settings()]
        assert all(f"defend/set/{entry.name}/{name}" in keys for name in names)
        assert list(app.segmented_control(key="defend/preset").options) == list(entry.presets)


def test_the_draft_of_another_defense_is_not_the_run_shown(home: Path) -> None:
    run = run_of(home, registry.entry("ims"))
    app = page("defend", run)
    assert any("These are the settings of the run shown." in each.value for each in app.caption)
    others = [name for name in registry.entries() if name != "ims"]
    app.selectbox(key="defend/defense").set_value(others[0]).run()
    assert not app.exception
    assert any("These settings differ from those of the run shown." in each.value for each in app.caption)
