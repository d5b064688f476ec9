"""Files are replaced whole or not at all, also where several write the same one at the same time."""

import zipfile
from pathlib import Path

import pytest
import torch

from invmask import disk
from invmask.attacks.training import checkpoint
from invmask.exports import archive


def test_two_who_write_a_file_at_once_never_mix(tmp_path: Path):
    path = tmp_path / "file"
    with disk.replacing(path) as first:
        first.write(b"a" * 1_000)
        with disk.replacing(path) as second:
            second.write(b"b" * 10)
            assert not path.exists()
        assert path.read_bytes() == b"b" * 10
        first.write(b"a")
    assert path.read_bytes() == b"a" * 1_001
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError("half"), OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_what_is_not_written_to_its_end_leaves_the_file_as_it_was(tmp_path: Path, error: BaseException):
    path = tmp_path / "file"
    disk.write_bytes(path, b"old")

    def fail():
        with disk.replacing(path) as file:
            file.write(b"new")
            raise error

    with pytest.raises(type(error)) as found:
        fail()
    if isinstance(error, OSError):
        assert found.value.filename == str(path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_about_another_file_keeps_its_name(tmp_path: Path):
    with pytest.raises(FileNotFoundError) as found, disk.replacing(tmp_path / "file"):
        (tmp_path / "missing").read_bytes()
    assert found.value.filename == str(tmp_path / "missing")


def test_two_checkpoints_written_at_once_never_mix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path, real = tmp_path / "some.checkpoint", torch.save

    def interleaved(state, file):
        real(state, file)
        if state["epoch"] == 1:
            checkpoint.write(path, {"epoch": 2, "weights": torch.zeros(1_000)})

    monkeypatch.setattr(torch, "save", interleaved)
    checkpoint.write(path, {"epoch": 1, "weights": torch.ones(10)})
    found = checkpoint.read(path, torch.device("cpu"), {})
    assert found is not None
    assert (found["epoch"], len(found["weights"])) == (1, 10)
    assert list(tmp_path.iterdir()) == [path]


def test_two_archives_written_at_once_never_mix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path, asked = tmp_path / "figures.zip", []

    def make(write, *_):
        asked.append(len(asked))
        name = f"{len(asked)}.csv"
        if len(asked) == 1:
            archive.write_archive(path, None, ["csv"])  # type: ignore[arg-type]  (nothing is drawn)
        write(name, b"x" * 1_000)

    monkeypatch.setattr(archive, "_make", make)
    archive.write_archive(path, None, ["csv"])  # type: ignore[arg-type]
    with zipfile.ZipFile(path) as found:
        assert found.namelist() == ["1.csv"]
        assert found.testzip() is None
    assert list(tmp_path.iterdir()) == [path]
