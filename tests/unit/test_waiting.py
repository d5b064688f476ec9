"""Threads that wait for each other do not hold up other processes: what is said of it, and when."""

import os
import subprocess
import sys

import pytest

from tests.unit.run_helpers import ROOT

# Stands where torch would be loaded, tells what OpenMP would read, and ends.
BEFORE_TORCH = """
import importlib, os, runpy, sys
class Torch:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            print([os.environ.get(name) for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "OMP_NUM_THREADS")])
            sys.stdout.flush()
            os._exit(0)
sys.meta_path.insert(0, Torch())
sys.path.insert(0, os.getcwd())
entry = sys.argv[1]
if entry.endswith(".py"):
    runpy.run_path(entry)
else:
    importlib.import_module(entry)
"""
WITHOUT_TORCH = {"checkout", "classroom_table", "fuzz_damage", "fuzz_table", "streamlit_session"}
"""Benchmarks' parts that never load it."""
BENCHMARKS = [
    f"benchmarks.{path.stem}"
    for path in sorted((ROOT / "benchmarks").glob("*.py"))
    if path.stem[0] != "_" and path.stem not in WITHOUT_TORCH
]


def read_by_openmp(entry: str, **said: str) -> list[str | None]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("GOMP_", "OMP_"))}
    child = subprocess.run(
        [sys.executable, "-c", BEFORE_TORCH, entry],
        check=True,
        cwd=ROOT,
        env={**environment, **said},
        stdout=subprocess.PIPE,
        text=True,
    )
    return eval(child.stdout)


@pytest.mark.parametrize(
    "entry",
    [
        "app.py",
        "tests/conftest.py",
        "invmask.runs.work.advance",
        "invmask.exports.work",
        "invmask.cli.defend",
        *BENCHMARKS,
    ],
)
def test_threads_wait_briefly_wherever_torch_is_loaded(entry: str):
    looks, policy, _ = read_by_openmp(entry)
    # GNU's own is 300,000: milliseconds in which nobody else has the core.
    assert 0 < int(looks or 300_000) <= 10_000
    assert policy is None


def test_what_somebody_has_said_stays():
    assert read_by_openmp("invmask.cli.defend", GOMP_SPINCOUNT="7")[:2] == ["7", None]
    assert read_by_openmp("invmask.cli.defend", OMP_WAIT_POLICY="ACTIVE")[:2] == [None, "ACTIVE"]


def test_a_page_has_one_thread_unless_somebody_says_otherwise():
    assert read_by_openmp("app.py")[2] == "1"
    assert read_by_openmp("app.py", OMP_NUM_THREADS="3")[2] == "3"
