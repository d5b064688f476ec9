"""Runs laid out by a setting, and the curves of both kinds."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from invmask.defenses.ims.config import Phase
from invmask.errors import UserError
from invmask.figures.tune import SweepPoint, cut_curves, sweep_curves
from invmask.frames.run_records import read_records
from invmask.grids.curve import SPC, lay_out
from invmask.runs.store.all_runs import RunStore
from invmask.runs.store.records import RunState, RunSummary
from invmask.runs.store.spec import RunSpec
from invmask.runs.store.staleness import of_todays_victim
from tests.unit.run_helpers import CONTROL, VICTIM, small_spec, taken, write_victims


def summary(name: str, spec: RunSpec, state: RunState) -> RunSummary:
    return RunSummary(name, spec, 0.0, 1, Phase.INITIALISE, state, None, None, None, None, None)


def test_every_value_meets_every_seed_and_the_furthest_run_is_taken():
    base = small_spec()
    other = replace(base, seed=1, config=replace(base.config, seed=1))
    runs = [
        summary("paused", base, RunState.PAUSED),
        summary("done", replace(base, preset="default"), RunState.FINISHED),
        summary("elsewhere", replace(other, victim=CONTROL), RunState.FINISHED),
        summary("going", replace(other, spc=2), RunState.RUNNING),
    ]
    places = lay_out(base, SPC, [2, 1, 1], [1, 0], runs)
    assert [(p.value, p.spc, p.seed, p.run.id if p.run else None) for p in places] == [
        (1, 1, 0, "done"),
        (1, 1, 1, None),
        (2, 2, 0, None),
        (2, 2, 1, "going"),
    ]
    assert [(p.finished, p.under_way) for p in places] == [
        (True, False),
        (False, False),
        (False, False),
        (False, True),
    ]


def test_no_curve_has_runs_of_another_precision_or_kind_of_device():
    base = small_spec(device="cuda:0")
    runs = [
        summary("half", replace(base, precision="bfloat16"), RunState.FINISHED),
        summary("processor", replace(base, device="cpu"), RunState.FINISHED),
        summary("same", replace(base, device="cuda:1", threads=7), RunState.PAUSED),
    ]
    (place,) = lay_out(base, SPC, [1], [0], runs)
    assert place.run.id == "same"
    assert [place.run for place in lay_out(base, SPC, [1], [0], runs[:2])] == [None]


def test_runs_of_another_network_that_had_the_victims_name_are_on_no_curve(own_home: Path):
    write_victims(own_home / "victims")
    old = taken(own_home, small_spec(), 1)
    listing = RunStore(own_home / "runs").listing
    assert [run.id for run in of_todays_victim(listing().runs, VICTIM, own_home / "runs")] == [old.id]
    path = own_home / "victims" / f"{VICTIM}.safetensors"
    save_file({name: 2 * tensor for name, tensor in load_file(path).items()}, path)
    new = taken(own_home, small_spec(), 1)
    taken(own_home, small_spec(CONTROL), 1)
    assert len(listing().runs) == 3
    assert [run.id for run in of_todays_victim(listing().runs, VICTIM, own_home / "runs")] == [new.id]
    assert [run.id for run in read_records(new)._all_runs] == [new.id]


def test_a_setting_is_varied_and_all_else_kept():
    base = small_spec()
    places = lay_out(base, "steepness", [5, 20], [0], [summary("same", base, RunState.FINISHED)])
    assert [p.config for p in places] == [replace(base.config, steepness=5), base.config]
    assert [p.run.id if p.run else None for p in places] == [None, "same"]
    with pytest.raises(UserError, match="Steepness"):
        lay_out(base, "steepness", [1000], [0], [])


def test_a_curve_over_runs_has_their_mean_and_spread():
    shares = {"acc": {"original": 0.9, "pruned": 0.8}}
    points = [
        SweepPoint(1, seed, f"run{seed}", {"acc": {"original": 0.9, "pruned": share}})
        for seed, share in enumerate((0.5, 0.7))
    ] + [SweepPoint(10, 0, "run2", shares)]
    figure = sweep_curves(points, [1, 2, 10], "SPC", "light")
    line, runs = (next(t for t in figure.data if t.name.startswith(f"Pruned, {word}")) for word in ("mean", "each"))
    assert list(line.y) == [60, 80]
    assert list(np.round(line.x)) == [0, 2]
    np.testing.assert_allclose(line.error_y.array, [14.14, np.nan])
    assert [row[0] for row in runs.customdata] == ["run0", "run1", "run2"]
    assert list(runs.y) == [50, 70, 80]
    assert list(figure.layout.xaxis.ticktext) == ["1", "2", "10"]
    assert runs.cliponaxis is False


def test_a_curve_of_cuts_marks_the_one_that_is_shown():
    values = {"acc": {"pruned": np.array([0.9, 0.8, 0.1]), "inverse": np.array([0.1, 0.2, 0.3])}}
    figure = cut_curves(np.array([0, 5, 9]), values, 9, "dark", shown=5, proposed=9)
    assert {(t.name, t.x[0], t.y[0]) for t in figure.data if "this cut" in t.name} == {
        ("Pruned, this cut", 5, 80),
        ("Inverse, this cut", 5, 20),
    }
    assert [shape.x0 for shape in figure.layout.shapes] == [5, 9]
    words = [annotation.text for annotation in figure.layout.annotations]
    assert {"Pruned 80.0", "Inverse 20.0", "proposed"} <= set(words)
    # At 0 and 100 % half of a marker lies outside.
    assert all(trace.cliponaxis is False for trace in figure.data)
