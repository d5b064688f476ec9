"""Whose run it is: keys are random, stored hashed, and no file of a run lets its readers steer it."""

import json
import zipfile
from pathlib import Path

import pytest

from invmask.runs.store import built_in, files, owner
from invmask.runs.store.all_runs import RunStore
from tests.unit.run_helpers import small_spec


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "runs")


def test_keys_are_random_and_have_one_form():
    made = {owner.new_key() for _ in range(100)}
    assert len(made) == 100
    assert all(owner.is_key(key) for key in made)
    assert not any(owner.is_key(text) for text in ("", "a" * 42, "a" * 44, "a" * 42 + "\n", "é" * 43, "<" * 43))


def test_only_the_maker_may_steer(store: RunStore):
    mine, other = owner.new_key(), owner.new_key()
    run = store.create(small_spec(), owner=mine)
    assert owner.may_steer(run.path, mine)
    assert not owner.may_steer(run.path, other)
    assert not owner.may_steer(run.path, owner.hashed(mine))


def test_a_run_without_an_owner_may_be_steered_by_everybody(store: RunStore):
    assert owner.may_steer(store.create(small_spec()).path, owner.new_key())


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"sha256": null}', b"\xff"])
def test_a_damaged_owner_is_nobody(store: RunStore, content: bytes):
    key = owner.new_key()
    run = store.create(small_spec(), owner=key)
    (run.path / files.OWNER).write_bytes(content)
    assert not owner.may_steer(run.path, key)
    assert run.summary().id == run.id


def test_the_key_is_in_no_file_of_the_run(store: RunStore):
    key = owner.new_key()
    run = store.create(small_spec(), owner=key)
    assert json.loads((run.path / files.OWNER).read_text()) == {"sha256": owner.hashed(key)}
    assert not any(key.encode() in path.read_bytes() for path in run.path.rglob("*") if path.is_file())


def test_a_run_that_is_packed_leaves_its_owner_behind(store: RunStore, tmp_path: Path):
    run = store.create(small_spec(), owner=owner.new_key())
    with zipfile.ZipFile(built_in.pack(run.path, tmp_path / "packed")) as packed:
        assert files.SPEC in packed.namelist()
        assert files.OWNER not in packed.namelist()
