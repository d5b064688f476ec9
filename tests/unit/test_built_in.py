"""Finished runs that come with invmask: packed, put into a home once, and read like any other."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from invmask.runs.store import built_in, files
from invmask.runs.store.all_runs import RunStore
from invmask.runs.store.goals import Goal, Want, write_want
from invmask.runs.store.records import RunState
from invmask.runs.store.run import Run
from invmask.runs.work.advance import advance
from tests.unit.run_helpers import small_spec, taken, write_victims


@pytest.fixture
def archives(own_home: Path, tmp_path: Path) -> tuple[Run, Path]:
    """A finished run of a home, and a folder with its archive."""
    write_victims(own_home / "victims")
    config = replace(small_spec().config, rounds_initialise=1, rounds_minimise=1, rounds_sparsify=1)
    run = taken(own_home, small_spec(config=config), 0)
    write_want(run.path, Want(Goal.FINISH))
    advance(run.path)
    built_in.pack(run.path, tmp_path)
    return run, tmp_path


def test_a_built_in_run_is_finished_and_shows_all_that_the_run_shows(
    archives: tuple[Run, Path], tmp_path_factory: pytest.TempPathFactory
) -> None:
    run, folder = archives
    store = RunStore(tmp_path_factory.mktemp("fresh") / "runs")
    built_in.add_built_in(store.folder, folder)
    (found,) = store.listing().runs
    there = store.run(found.id)
    assert found.state is RunState.FINISHED
    assert found == run.summary()
    assert there.entries() == run.entries()
    assert np.array_equal(there.mask_history(), run.mask_history())
    then, now = run.examples_at(2), there.examples_at(2)
    assert then is not None
    assert now is not None
    assert np.array_equal(then.perturbations, now.perturbations)
    assert not there.has_work()
    assert (there.path / files.STATE).stat().st_size < 1000


def test_a_built_in_run_that_was_deleted_stays_away(archives: tuple[Run, Path], own_home: Path) -> None:
    run, folder = archives
    runs = own_home / "other" / "runs"
    for _ in range(2):
        built_in.add_built_in(runs, folder)
        assert [path.name for path in runs.iterdir() if path.is_dir()] == [run.id]
    RunStore(runs).delete(run.id)
    built_in.add_built_in(runs, folder)
    assert not (runs / run.id).exists()
    shutil.copy(folder / f"{run.id}.zip", folder / "20260101-000000-badnets-abcd.zip")
    built_in.add_built_in(runs, folder)
    assert [found.id for found in RunStore(runs).runs()] == ["20260101-000000-badnets-abcd"]


def test_a_home_that_cannot_be_written_to_is_left_alone(archives: tuple[Run, Path], tmp_path: Path) -> None:
    _, folder = archives
    (tmp_path / "file").write_text("")
    built_in.add_built_in(tmp_path / "file" / "runs", folder)
    assert (tmp_path / "file").read_text() == ""
