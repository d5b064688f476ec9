"""`figures` and `export` on the command line, and what they answer to mistakes."""

import json
from pathlib import Path

import pandas as pd
import pytest

from invmask.cli import exports, main
from invmask.data.budget import probe
from invmask.exports.mask_file import read_mask
from invmask.runs.store.run import Run
from invmask.runs.work import evidence
from invmask.runs.work.advance import Outcome
from tests.unit.run_helpers import small_spec, taken, write_victims


@pytest.fixture
def run(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    few = type("Part", (), {"images": probe("cifar10", 2)})
    monkeypatch.setattr("invmask.exports.model_agreement.load_embedded", lambda *_: few)
    write_victims(own_home / "victims")
    return taken(own_home, small_spec(), 3)


def test_figures_writes_what_is_asked_for(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "new" / "folder"
    only = "defend-measures,defend-map-pruned"
    assert main(["figures", run.id, "--out", str(out), "--format", "csv,html", "--only", only, "--round", "2"]) == 0
    assert {path.name for path in out.iterdir()} == {
        "about.json",
        *(f"{name}.{kind}" for name in only.split(",") for kind in ("csv", "html", "txt")),
    }
    table = pd.read_csv(out / "defend-measures.csv")
    assert table["round"].max() == 3
    assert "after round 2 of 3" in (out / "defend-map-pruned.txt").read_text()
    told = capsys.readouterr()
    assert "7 files" in told.out
    assert "2/2" in told.err


def test_figures_are_as_wide_as_is_asked_for(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    only = ["--only", "defend-losses", "--format", "svg"]
    for width, pixels in (("88", "333"), ("180", "680")):
        assert main(["figures", run.id, "--out", str(tmp_path / width), *only, "--width", width]) == 0
        assert f"figures {width} mm wide" in capsys.readouterr().out
        assert f'width="{pixels}"' in (tmp_path / width / "defend-losses.svg").read_text()
        assert json.loads((tmp_path / width / "about.json").read_text())["width_mm"] == int(width)


def test_figures_of_neurons_and_tune_are_measured_if_asked_for(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(evidence, "PER_CLASS", 1)
    arguments = ["figures", run.id, "--out", str(tmp_path), "--format", "csv", "--round", "2"]
    assert main([*arguments, "--only", "neurons-map-score", "--channel", "conv1:1"]) == 0
    assert "--measure measures them" in capsys.readouterr().err
    only = "neurons-top,tune-mask,neurons-channel-history"
    assert main([*arguments, "--only", only, "--channel", "conv1:1", "--measure"]) == 0
    assert "--measure" not in capsys.readouterr().err
    assert {f"{name}.csv" for name in only.split(",")} <= {path.name for path in tmp_path.iterdir()}
    assert "Channel conv1:1, picked" in (tmp_path / "neurons-channel-history.txt").read_text()


def test_measuring_waits_for_a_worker_that_is_at_it(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    said = [Outcome.BUSY, Outcome.BUSY, Outcome.IDLE]
    monkeypatch.setattr("invmask.runs.work.measure_cuts.measure_cuts", lambda _: said.pop(0))
    monkeypatch.setattr("invmask.runs.work.gather_evidence.gather", lambda _: Outcome.IDLE)
    monkeypatch.setattr(exports, "LOOK_AGAIN_SECONDS", 0)
    out = ["--out", str(tmp_path), "--format", "csv", "--only", "defend-losses"]
    assert main(["figures", run.id, *out, "--measure"]) == 0
    assert said == []


def test_export_writes_the_model_and_says_that_it_agrees(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for name in ("pruned.safetensors", "pruned.onnx"):
        assert main(["export", run.id, "--view", "pruned", "--out", str(tmp_path / name)]) == 0
        assert (tmp_path / name).stat().st_size > 10_000
        assert "same answer on 20 of 20 test images" in capsys.readouterr().out
    assert main(["export", run.id, "--view", "mask", "--out", str(tmp_path / "mask.safetensors"), "--round", "1"]) == 0
    assert read_mask(tmp_path / "mask.safetensors").about["round"] == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["figures", "RUN", "--out", "OUT", "--format", "gif"], "no format 'gif'"),
        (["figures", "RUN", "--out", "OUT", "--format", ","], "No format"),
        (["figures", "RUN", "--out", "OUT", "--only", "nothing"], "no figure 'nothing'"),
        (["figures", "RUN", "--out", "OUT", "--width", "120"], "has to be 88 or 180, in mm"),
        (["figures", "RUN", "--out", "OUT", "--round", "9"], "no round 9"),
        (["figures", "RUN", "--out", "FILE"], "is a file"),
        (["figures", "RUN", "--out", "OUT", "--sample", "abc"], "no sample 'abc'"),
        (["figures", "RUN", "--out", "OUT", "--channel", "x:1"], "no channel 'x:1'"),
        (["export", "RUN", "--out", "FOLDER.onnx"], "FOLDER.onnx is a directory"),
        (["figures", "20260101-000000-badnets-0000", "--out", "OUT"], "no run"),
        (["figures", "RUN"], "--out"),
        (["export", "RUN", "--out", "OUT/model.pt"], "no directory"),
        (["export", "RUN", "--out", "FILE"], ".safetensors or .onnx"),
        (["export", "RUN", "--out", "model.onnx", "--view", "sideways"], "no view 'sideways'"),
        (["export", "RUN", "--out", "model.onnx", "--view", "mask"], "written as .safetensors"),
        (["export", "RUN", "--out", "model.onnx", "--mask", "nobody"], "no mask named 'nobody'; none was saved"),
        (["export", "RUN", "--out", "model.onnx", "--round", "9"], "no round 9"),
    ],
)
def test_a_mistake_gets_one_sentence_and_status_2(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments, words
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "FILE").touch()
    (tmp_path / "FOLDER.onnx").mkdir()
    given = [{"RUN": run.id}.get(argument, argument) for argument in arguments]
    if "model.pt" in given[-1]:
        given[-1] = "OUT/model.onnx"
    assert main(given) == 2
    told = capsys.readouterr()
    assert words in told.err
    assert (told.out, told.err.count("\n")) == ("", 1)
    assert not (tmp_path / "OUT").exists()
