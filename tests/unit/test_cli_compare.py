"""`compare`: makes the missing runs, prints their means in every format, and says what is missing."""

import json
from pathlib import Path

import pytest

from invmask.cli import main
from invmask.runs.store.all_runs import RunStore
from invmask.runs.work.bench import Bench
from tests.unit.run_helpers import VICTIM, write_victims

FT = ["compare", VICTIM, "--defenses", "ft", "--spc", "1"]


@pytest.fixture
def store(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> RunStore:
    """A home with victims, where the measuring at the end takes the probe instead of 2,000 images."""
    write_victims(own_home / "victims")
    monkeypatch.setattr(Bench, "all_test_images", lambda bench: bench.probe)
    monkeypatch.setenv("INVMASK_THREADS", "1")
    return RunStore(own_home / "runs")


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = main(arguments)
    out, err = capsys.readouterr()
    return status, out, err


def test_missing_runs_are_made_once_and_printed_in_every_format(capsys: pytest.CaptureFixture[str], store: RunStore):
    status, out, err = call(capsys, *FT)
    assert (status, out) == (1, "")
    assert err == "1 of 1 cases have no finished run; --run makes them.\n"

    status, out, err = call(capsys, *FT, "--run", "--format", "json")
    (row,), (run,) = json.loads(out), store.runs()
    assert (status, row["defense"], row["n"], row["runs"]) == (0, "ft", 1, [run.id])
    result = run.summary().result
    assert result is not None
    assert row["acc"]["mean"] == result.views.defended.acc

    for form, begins in (
        ("table", "defence"),
        ("markdown", "| defence |"),
        ("latex", r"\begin{tabular}"),
        ("csv", "def"),
    ):
        status, out, err = call(capsys, *FT, "--run", "--format", form)
        assert (status, err, out.startswith(begins)) == (0, "", True)
    assert len(store.runs()) == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["nobody"], "There is no victim 'nobody'; 'invmask victims' lists them."),
        ([VICTIM, "--defenses", "magic"], "There is no defence 'magic'"),
        ([VICTIM, "--spc", "0"], "SPC (samples per class) has to be between 1 and 100"),
        ([VICTIM, "--seeds", "x"], "Seeds are whole numbers, separated by commas"),
    ],
)
@pytest.mark.usefixtures("store")
def test_a_mistake_gets_one_sentence(capsys: pytest.CaptureFixture[str], words: list[str], sentence: str):
    status, out, err = call(capsys, "compare", *words)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(sentence)
