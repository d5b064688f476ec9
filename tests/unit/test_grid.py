"""A grid holds every combination once; its results survive the way to disk and back, and add up in the table."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from torch import nn

from invmask import settings
from invmask.defenses.ims.config import preset
from invmask.errors import UserError
from invmask.grids.grid import expand
from invmask.grids.results import (
    CaseResult,
    as_markdown,
    read_case,
    read_folder,
    summarise,
    told_apart,
    write_case,
    write_tables,
)
from invmask.runs.store.goals import Goal, Want, write_want
from invmask.runs.work.advance import advance
from invmask.victims import make
from invmask.victims.victim import find_cards
from tests.unit.run_helpers import ROOT, VICTIM, small_spec, taken, write_victims

ARCHITECTURE = ["preactresnet18w16"]
VIEWS = {
    "original": {"acc": 0.9, "asr": 1.0, "ra": 0.0},
    "pruned": {"acc": 0.8, "asr": 0.1, "ra": 0.7},
    "inverse": {"acc": 0.1, "asr": 0.9, "ra": 0.0},
}


def result(**changes) -> CaseResult:
    base = CaseResult(
        victim="cifar10-preactresnet18w16-badnets",
        dataset="cifar10",
        architecture="preactresnet18w16",
        attack="badnets",
        poisoning_ratio=0.1,
        preset="default",
        spc=10,
        seed=0,
        run="20260101-000000-badnets-0000",
        views=VIEWS,
        n_clean=2_000,
        n_triggered=1_800,
        seconds=10.0,
    )
    return replace(base, **changes)


def pruned(asr: float) -> dict[str, dict[str, float | None]]:
    return {**VIEWS, "pruned": {**VIEWS["pruned"], "asr": asr}}


def test_every_combination_is_there_once_and_a_control_has_no_ratio():
    cases = expand(["badnets", "clean"], ARCHITECTURE, ["cifar10"], [0.1, 0.05], ["default", "paper"], [1, 10], [0, 1])
    names = [case.name for case in cases]
    assert len(names) == len(set(names)) == 3 * 2 * 2 * 2
    victims = list(dict.fromkeys(case.plan.name for case in cases))
    assert victims == [f"cifar10-preactresnet18w16-{end}" for end in ("badnets", "badnets-p5", "clean")]
    assert "cifar10-preactresnet18w16-badnets-p5_paper_spc1_seed1_float32_cpu" in names
    # Victim by victim, so that one is done before the next is begun.
    assert [case.plan.name for case in cases] == sorted((case.plan.name for case in cases), key=victims.index)
    assert {case.description()["poisoning_ratio"] for case in cases} == {0.1, 0.05, 0.0}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"attacks": ["nobody"]}, "attack"),
        ({"architectures": ["lenet99"]}, "architecture"),
        ({"datasets": ["cifar7"]}, "data set"),
        ({"ratios": [0.95]}, "At most 0.9"),
        ({"methods": ["harder"]}, "defence"),
        ({"budgets": [0]}, "between 1 and 100"),
        ({"seeds": range(20_000)}, "at most 10,000"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_begun(changes, words):
    asked = {
        "attacks": ["badnets"],
        "architectures": ARCHITECTURE,
        "datasets": ["cifar10"],
        "ratios": [0.1],
        "methods": ["default"],
        "budgets": [10],
        "seeds": [0],
    }
    with pytest.raises(UserError, match=words):
        expand(**{**asked, **changes})


def test_a_finished_run_becomes_a_case_and_a_paused_one_a_problem(own_home):
    write_victims(own_home / "victims")
    run = taken(own_home, small_spec(VICTIM), 1)
    (case,) = expand(["badnets"], ["preactresnet18w2"], ["cifar10"], [0.1], ["paper"], [1], [0])
    assert case.plan.name == VICTIM
    assert case.result(run.summary()).problem == "The run was paused after round 1."
    write_want(run.path, Want(Goal.FINISH))
    advance(run.path)
    found = case.result(run.summary())
    end = run.result()
    assert found.problem is None
    assert found.views["pruned"]["asr"] == end.views.pruned.asr
    assert found.views["inverse"]["acc"] == end.views.inverse.acc
    assert (found.n_clean, found.run) == (2_000, run.id)


def test_cases_survive_the_disk_and_what_is_none_is_told_of(tmp_path):
    stored = [result(), result(seed=1, problem="It failed.", views={}, run=None)]
    for number, case in enumerate(stored):
        write_case(tmp_path, f"case{number}", case)
    content = json.loads((tmp_path / "case0.json").read_text())
    bad = {
        "no.json": "{",
        "share.json": json.dumps({**content, "views": pruned(1.5)}),
        "neither.json": json.dumps({**content, "views": {}}),
        "more.json": json.dumps({**content, "surprise": 1}),
        "details.json": json.dumps({**content, "details": None}),
        "views.json": json.dumps({**content, "views": 3}),
        "large.json": json.dumps({**content, "details": {"x": "y" * 300_000}}),
    }
    for name, text in bad.items():
        (tmp_path / name).write_text(text)
    found, problems = read_folder(tmp_path)
    assert found == stored
    assert sorted(problem.split()[0] for problem in problems) == sorted(bad)
    for name in bad:
        with pytest.raises(UserError, match="no case of a sweep"):
            read_case(tmp_path / name)


def test_no_mean_is_taken_over_cases_of_other_settings_or_another_victims_weights(tmp_path):
    def made(day: int, seed: int, asr: float, **details) -> CaseResult:
        settings = preset("default", seed=seed, **details.pop("changed", {})).as_json()
        details = {"settings": settings, **details}
        return result(run=f"202601{day:02}-000000-badnets-0000", seed=seed, views=pruned(asr), details=details)

    cases = [
        made(3, 0, 0.01, weights="new"),
        made(3, 3, 0.03),  # before weights were noted
        made(2, 1, 0.9, weights="new", changed={"sparsity_weight": 2.0}),
        made(2, 2, 0.8, weights="new", changed={"sparsity_weight": 2.0}),
        made(1, 1, 0.7, weights="old"),
        result(seed=9, problem="It failed.", views={}),
    ]
    for number, case in enumerate(cases):
        write_case(tmp_path, f"case{number}", case)
    table = summarise(read_folder(tmp_path)[0])
    rows = {row["preset"]: (row["seeds"], round(row["pruned asr"], 3)) for row in table.to_dict("records")}
    assert rows == {"default": (2, 0.02), "default (earlier)": (2, 0.85), "default (earlier 2)": (1, 0.7)}
    assert int(table["problems"].sum()) == 1
    # The newest may be one whose weights were not noted.
    newest = made(4, 4, 0.05)
    told = told_apart([*cases, newest, made(5, 4, 0.6, changed={"sparsity_weight": 3.0})])
    assert [case.preset for case in told if case.views == newest.views] == ["default (earlier)"]
    assert [case.preset for case in told if case.views == pruned(0.7)] == ["default (earlier 3)"]
    assert [case.preset for case in told if case.views == pruned(0.6)] == ["default"]


def test_the_results_that_come_along_are_each_of_one_making_and_of_victims_that_do_too():
    victims = find_cards(settings.victim_folders())
    for name in ("sweep", "unlike"):
        found, problems = read_folder(ROOT / "benchmarks" / "results" / name / "cases")
        assert problems == []
        assert found
        assert all("earlier" not in case.preset for case in found)
        # Files of a folder's victim would have a colon in their names.
        assert {case.victim for case in found if not case.dataset.startswith("folder:")} <= set(victims)


def test_what_computed_in_another_precision_or_on_another_device_has_a_row_of_its_own():
    how = [("float32", "cpu"), ("bfloat16", "cpu"), ("float32", "cuda:0"), ("float32", "cuda:1"), (None, None)]
    cases = [
        result(seed=seed, views=pruned(0.1 * place), details={"precision": precision, "device": device})
        for place, (precision, device) in enumerate(how)
        for seed in (0, 1)
    ]
    cases.append(result(seed=2, problem="It failed.", views={}, details={"precision": "bfloat16", "device": "cpu"}))
    keys = ["precision", "device", "seeds", "problems", "pruned asr"]
    rows = [[row[key] for key in keys] for row in summarise(cases).to_dict("records")]
    assert [row[:4] for row in rows] == [
        ["float32", "cpu", 2, 0],
        ["bfloat16", "cpu", 2, 1],
        ["float32", "cuda", 4, 0],
        ["unknown", "unknown", 2, 0],
    ]
    np.testing.assert_allclose([row[4] for row in rows], [0, 0.1, 0.25, 0.4])
    words = as_markdown(summarise(cases)).splitlines()
    assert words[2].startswith("| precision | device | seeds | original")
    assert "precision" not in as_markdown(summarise(cases[:2]))
    # Of a device that all have, nothing is said.
    assert as_markdown(summarise(cases[:4])).splitlines()[2].startswith("| precision | original")


def test_a_grid_builds_no_network_twice(monkeypatch):
    built = []
    monkeypatch.setattr(make, "new_model", lambda *names: built.append(names) or nn.Identity())
    make.check_network.cache_clear()
    expand(["badnets", "sig"], ["cnn4", "vit"], ["cifar10", "mnist"], [0.1, 0.05], ["default"], [1, 10], [0, 1])
    make.check_network.cache_clear()
    assert len(built) == len(set(built)) == 4


def test_the_table_has_mean_and_spread_over_seeds(tmp_path):
    values = [0.02, 0.04, 0.09]
    cases = [result(seed=seed, views=pruned(asr)) for seed, asr in enumerate(values)]
    cases += [result(seed=3, problem="It failed.", views={}), result(spc=100, views=pruned(0.5))]
    control = {view: {"acc": 0.9, "asr": None, "ra": None} for view in VIEWS}
    cases.append(result(attack="clean", victim="c", poisoning_ratio=0.0, views=control))
    table = summarise(cases)
    assert table["spc"].tolist() == [10, 100, 10]
    first = table.iloc[0]
    assert (first["seeds"], first["problems"]) == (3, 1)
    assert first["pruned asr"] == pytest.approx(np.mean(values))
    assert first["pruned asr sd"] == pytest.approx(np.std(values, ddof=1))
    assert pd.isna(table.iloc[1]["pruned asr sd"])
    assert pd.isna(table.iloc[2]["pruned asr"])
    words = as_markdown(table).splitlines()
    assert words[0] == "All: data set cifar10, architecture preactresnet18w16, preset default."
    assert words[2].startswith("| attack | SPC | seeds | original ACC / ASR / RA | pruned ACC | pruned ASR |")
    assert words[4].startswith("| badnets 10 % | 10 | 3 (1 without result) |")
    assert "| 5.0 ± 3.6 |" in words[4]
    assert "| 50.0 |" in words[5]
    assert words[6].startswith("| clean | 10 | 1 | 90.0 / – / – |")
    write_tables(tmp_path, cases)
    read = pd.read_csv(tmp_path / "table.csv")
    assert read["pruned asr"].tolist()[:2] == pytest.approx([np.mean(values), 0.5])
    assert (tmp_path / "table.md").read_text().splitlines() == words
