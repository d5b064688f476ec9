"""A function that reads a stranger's file can harm nothing but its own process."""

import os
import socket
import subprocess
import time
from pathlib import Path

import pytest

from invmask import confined
from invmask.errors import UserError


def plain(*values: object) -> object:
    return [*values, os.environ.get("INVMASK_PASSWORD"), os.environ["OMP_NUM_THREADS"]]


def says() -> None:
    raise UserError("Do this instead.")


def fails() -> None:
    raise KeyError("no\nsuch thing")


def sleeps() -> None:
    time.sleep(60)


def hungry() -> int:
    return len(bytearray(8 << 30))


def crashes() -> None:
    os.abort()


def killed() -> None:
    os._exit(9)


def prints() -> str:
    print("noise")
    os.write(1, b"noise")
    return "result"


def not_plain() -> object:
    return object()


def starts(how: str) -> None:
    if how == "shell":
        os.system("touch started")
    elif how == "program":
        subprocess.run(["touch", "started"], check=False)
    elif how == "fork":
        os.fork()
    else:
        socket.create_connection(("127.0.0.1", 9), timeout=1)


def writes(how: str, path: str) -> None:
    if how == "text":
        Path(path).write_text("x")
    elif how == "low":
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
    elif how == "folder":
        Path(path).mkdir()
    elif how == "move":
        Path(path).rename(path + "2")
    else:
        Path(path).unlink()


def test_plain_values_go_there_and_come_back(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("INVMASK_PASSWORD", "secret")
    assert confined.call(plain, 1, "ä", [None, {"a": 2.5}], Path("/x")) == [1, "ä", [None, {"a": 2.5}], "/x", None, "1"]


def test_what_a_library_prints_is_no_answer():
    assert confined.call(prints) == "result"


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (says, r"^Do this instead\.$"),
        (fails, r"^m\.pt cannot be read \(KeyError: .*\); get it again, or store it in another format\.$"),
        (hungry, r"^m\.pt needs more than 1\.0 GB of memory.*make it smaller"),
        (crashes, r"^m\.pt is damaged so badly that the process which read it crashed; get it again\.$"),
        (killed, "crashed"),
        (not_plain, "cannot be read"),
    ],
)
def test_every_end_is_one_sentence(function, message: str):
    with pytest.raises(UserError, match=message) as raised:
        confined.call(function, what="m.pt", memory_bytes=1 << 30)
    assert "\n" not in str(raised.value)


def test_a_slow_child_is_killed():
    began = time.monotonic()
    with pytest.raises(UserError, match=r"^m\.pt was not read within 2 s"):
        confined.call(sleeps, what="m.pt", seconds=2)
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("how", ["shell", "program", "fork", "connection"])
def test_no_program_and_no_connection_is_started(how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"PermissionError: .* is not allowed while a file is read"):
        confined.call(starts, how)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("how", ["text", "low", "folder", "move", "remove"])
def test_only_the_scratch_folder_is_written(how: str, tmp_path: Path):
    scratch, outside = tmp_path / "scratch", tmp_path / "scratch-not"
    for folder in (scratch, outside):
        folder.mkdir()
        if how in ("move", "remove"):
            (folder / "file").touch()
    before = sorted(outside.iterdir())
    for path in (outside / "file", scratch / ".." / "scratch-not" / "file"):
        with pytest.raises(UserError, match="not allowed while a file is read"):
            confined.call(writes, how, path, scratch=scratch)
    (scratch / "link").symlink_to(outside)
    with pytest.raises(UserError, match="not allowed while a file is read"):
        confined.call(writes, how, scratch / "link" / "file", scratch=scratch)
    assert sorted(outside.iterdir()) == before
    confined.call(writes, how, scratch / "file", scratch=scratch)


def test_a_file_beside_is_no_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "json.py").write_text("raise SystemExit(3)")
    monkeypatch.chdir(tmp_path)
    assert confined.call(prints) == "result"
