"""A presentation's file: written by its presenter alone, read by everybody, removed when it is old."""

import os
import time
from pathlib import Path

import pytest

from invmask.errors import UserError
from invmask.runs.store import presentation
from invmask.runs.store.owner import new_key
from invmask.runs.store.presentation import AWAY_SECONDS, FOLDER, KEPT_SECONDS, Shown

FLIP = Shown("Flip", {"victim": "a", "view": "inverse"})
DEFEND = Shown("Defend", {"victim": "a", "round": "3"})


def file_of(home: Path, name: str) -> Path:
    return home / FOLDER / f"{name}.json"


def test_everybody_reads_what_the_presenter_shows(tmp_path: Path):
    key = new_key()
    name = presentation.begin(tmp_path, key, FLIP)
    found = presentation.read(tmp_path, name)
    assert found is not None
    assert found.shown == FLIP
    assert found.is_of([new_key(), key])
    presentation.show(tmp_path, name, key, DEFEND)
    found = presentation.read(tmp_path, name)
    assert found is not None
    assert found.shown == DEFEND
    # The key itself is nowhere in the file.
    assert key not in file_of(tmp_path, name).read_text()


def test_nobody_else_changes_or_ends_it(tmp_path: Path):
    name, other = presentation.begin(tmp_path, new_key(), FLIP), new_key()
    with pytest.raises(UserError, match="Somebody else presents here"):
        presentation.show(tmp_path, name, other, DEFEND)
    with pytest.raises(UserError, match="Somebody else presents here"):
        presentation.end(tmp_path, name, other)
    found = presentation.read(tmp_path, name)
    assert found is not None
    assert found.shown == FLIP
    assert not found.is_of([other])


def test_it_ends_once_and_for_all(tmp_path: Path):
    key = new_key()
    name = presentation.begin(tmp_path, key, FLIP)
    presentation.end(tmp_path, name, key)
    presentation.end(tmp_path, name, key)
    assert presentation.read(tmp_path, name) is None
    with pytest.raises(UserError, match="has ended"):
        presentation.show(tmp_path, name, key, DEFEND)


@pytest.mark.parametrize(
    "name", ["", "../../etc", "abcdefghij/", "ABCDEFGHIJ", "abcdefghi", "abcdefghi\n", "a" * 10_000]
)
def test_an_id_names_a_file_in_the_folder_or_nothing(tmp_path: Path, name: str):
    assert presentation.read(tmp_path, name) is None
    with pytest.raises(UserError, match="has ended"):
        presentation.show(tmp_path, name, new_key(), FLIP)
    assert not list(tmp_path.rglob("*.json"))


@pytest.mark.parametrize(
    "content", ["", "[]", "{", '{"page": "Flip"}', '{"page": 1, "query": 3, "sha256": ""}', "[" * 5000]
)
def test_a_damaged_file_is_no_presentation(tmp_path: Path, content: str):
    name = presentation.begin(tmp_path, new_key(), FLIP)
    file_of(tmp_path, name).write_text(content)
    assert presentation.read(tmp_path, name) is None


def test_a_presenter_who_is_not_heard_of_is_away(tmp_path: Path):
    name = presentation.begin(tmp_path, new_key(), FLIP)
    long_ago = time.time() - 2 * AWAY_SECONDS
    os.utime(file_of(tmp_path, name), (long_ago, long_ago))
    found = presentation.read(tmp_path, name)
    assert found is not None
    assert found.away()
    presentation.hear(tmp_path, name)
    found = presentation.read(tmp_path, name)
    assert found is not None
    assert not found.away()
    assert found.shown == FLIP


def test_old_ones_are_removed_and_there_are_not_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(presentation, "MOST", 2)
    first = presentation.begin(tmp_path, new_key(), FLIP)
    presentation.begin(tmp_path, new_key(), FLIP)
    with pytest.raises(UserError, match="already has 2 presentations"):
        presentation.begin(tmp_path, new_key(), FLIP)
    long_ago = time.time() - 2 * KEPT_SECONDS
    os.utime(file_of(tmp_path, first), (long_ago, long_ago))
    presentation.begin(tmp_path, new_key(), FLIP)
    assert presentation.read(tmp_path, first) is None
