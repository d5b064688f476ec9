"""Compare: what is chosen is in the address, means and who leads, missing runs are started, a cell leads to its run."""

import json
from dataclasses import replace

import pytest

from invmask import settings
from invmask.defenses import registry
from invmask.runs.store.all_runs import RunStore
from invmask.runs.store.goals import Goal
from invmask.runs.work.advance import advance
from invmask.runs.work.bench import spec_of
from invmask.ui.shell import cache
from tests.app.conftest import address_of, sentences, visit
from tests.unit.run_helpers import CONTROL, VICTIM, advance_to

pytestmark = pytest.mark.usefixtures("tiny_victims")


def finish(victim: str = VICTIM, defense: str = "anp", spc: int = 1, seed: int = 0):
    """A run of the first preset that a request ended after one round, which then counts as finished."""
    entry = registry.entry(defense)
    spec = replace(spec_of(victim, entry.first_preset, spc, seed, defense=defense), probe_per_class=1)
    run = RunStore(settings.runs_folder()).create(spec)
    advance_to(run, 1)
    RunStore(settings.runs_folder()).stop(run.id)
    advance(run.path)
    path = run.path / "result.json"
    content = json.loads(path.read_text())
    content["finished"] = True
    path.write_text(json.dumps(content))
    cache.forget_listing()
    return run


def test_without_a_finished_run_the_page_says_what_to_do():
    app = visit("compare", victim=VICTIM)
    assert not app.exception
    assert any("Start the missing ones" in words for words in sentences(app))
    assert [box.value for box in app.multiselect] == [[VICTIM], list(registry.entries())]
    assert address_of(app) == {}


def test_missing_runs_are_created_and_asked_to_finish():
    app = visit("compare", victim=VICTIM, defences="anp~ft", spcs="1", seeds="0-1")
    (button,) = (each for each in app.button if each.key == "compare/start-missing")
    assert button.label == "Start the 4 missing runs"
    button.click().run()
    runs = RunStore(settings.runs_folder()).runs()
    assert sorted((run.spec().defense, run.spec().seed) for run in runs) == [
        ("anp", 0),
        ("anp", 1),
        ("ft", 0),
        ("ft", 1),
    ]
    assert {run.want().goal for run in runs} == {Goal.FINISH}


def test_means_are_shown_and_the_leader_is_named():
    finish(defense="anp")
    finish(defense="ft")
    app = visit("compare", victim=VICTIM, defences="anp~ft", spcs="1", measure="acc")
    assert not app.exception
    table = app.dataframe[0].value
    assert sorted(table["defence"]) == ["ANP", "FT"]
    assert list(table["n"]) == ["1", "1"]
    words = " ".join(caption.value for caption in app.caption)
    assert "2 of 2 runs finished, 0 under way, 0 missing." in words
    assert "the highest ACC" in words
    scatter, matrix = (json.loads(chart.proto.spec) for chart in app.get("plotly_chart"))
    assert {"ANP", "FT", "Pareto front", "Original"} == {trace["name"] for trace in scatter["data"]}
    assert len(matrix["data"][0]["text"]) == 2


def test_a_control_has_no_asr_and_no_trigger_is_made_up():
    finish(CONTROL)
    app = visit("compare", victim=CONTROL, defences="anp", spcs="1")
    assert not app.exception
    assert app.dataframe[0].value["ASR"].tolist() == ["–"]
    assert any("no known trigger" in caption.value for caption in app.caption)


def test_what_is_wrong_in_the_address_is_left_out_and_said():
    app = visit("compare", victim=VICTIM, victims=f"{VICTIM}~nobody", defences="none", seeds="x", spcs="3")
    assert not app.exception
    said = " ".join(sentences(app))
    for word in ("nobody", "none", "3"):
        assert word in said
    assert any("'0-2, 7'" in words for words in sentences(app))


def test_a_cell_in_the_address_shows_its_runs_and_opens_one():
    run = finish()
    cell = f"anp:{registry.entry('anp').first_preset}/{VICTIM}"
    app = visit("compare", victim=VICTIM, defences="anp", spcs="1", cell=cell)
    (button,) = (each for each in app.button if each.label == "Open SPC 1, seed 0")
    button.click().run()
    assert app.query_params["run"] == run.id
