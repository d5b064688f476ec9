"""The replay of a run as one file: it holds every round as recorded, nothing else reaches it, and it stays small."""

import base64
import json
import re
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from invmask.cli import main
from invmask.defenses import registry
from invmask.defenses.ft import FTConfig
from invmask.exports import jobs
from invmask.exports.jobs import Request
from invmask.exports.replay import channels, page, rounds
from invmask.exports.replay.bounds import fitting
from invmask.exports.replay.page import replay
from invmask.exports.work import make
from invmask.frames.candidates import search_cards
from invmask.frames.run_records import RunRecords, read_records
from invmask.masks.state import View
from invmask.runs.store import files
from invmask.runs.store.run import Run
from tests.unit.run_helpers import CONTROL, VICTIM, small_spec, taken, write_victims
from tests.unit.searching import finder_spec, register_finder

MOST_BYTES = 6_000_000
NASTY = '</script><img src="x" onerror="alert(1)">'


@pytest.fixture
def run(own_home: Path) -> Run:
    write_victims(own_home / "victims")
    return taken(own_home, small_spec(), 5)


def data_in(html: str) -> dict[str, Any]:
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    return json.loads(text)


def masks_in(data: dict[str, Any]) -> np.ndarray:
    """What the page's script unpacks: uint8 [rounds, 2, channels]."""
    changes = np.frombuffer(zlib.decompress(base64.b64decode(data["map"]["packed"])), np.uint8)
    each = sum(count for _, count in data["map"]["layers"])
    return np.cumsum(changes.reshape(-1, 2, each), axis=0, dtype=np.uint8)


def test_every_round_is_there_as_it_was_recorded(run: Run):
    data, entries = data_in(replay(read_records(run))), run.entries()
    assert data["rounds"] == len(entries) == 5
    assert [view["name"] for view in data["views"]] == ["original", "pruned", "inverse"]
    for name, curves in data["values"].items():
        for view, curve in zip(("original", "pruned", "inverse"), curves, strict=True):
            recorded = [getattr(entry.views.present()[View(view)], name) for entry in entries]
            np.testing.assert_allclose(curve[1:], recorded, atol=5e-5)
        # Before the first round, all views are the original.
        assert curves[0][0] == curves[1][0] == curves[2][0]
    assert list(data["values"]) == ["acc", "asr", "ra"]
    spans = [(stage["title"], stage["first"], stage["last"]) for stage in data["stages"]]
    assert spans == [("Initialise", 1, 2), ("Minimise", 3, 5)]


def test_masks_are_those_of_the_run_in_8_bits(run: Run):
    data = data_in(replay(read_records(run)))
    assert data["map"]["rounds"] == [0, 1, 2, 3, 4, 5]
    np.testing.assert_allclose(masks_in(data) / 255, run.mask_history(), atol=0.5 / 255 + 1e-6)
    assert np.ptp(masks_in(data)) > 0
    assert sum(count for _, count in data["map"]["layers"]) == run.mask_history().shape[2]
    assert [each["name"] for each in data["map"]["quantities"]] == ["selection", "pruned", "inverse"]


def test_triggers_are_shown_for_the_rounds_that_made_some(run: Run):
    found = data_in(replay(read_records(run)))["triggers"]
    made = [number for number in range(1, 6) if run.examples_at(number) is not None]
    assert sorted(map(int, found["rounds"])) == made != []
    stored, shown = run.examples_at(made[-1]), found["rounds"][str(made[-1])]
    assert stored is not None
    assert shown["clean"] == stored.indices[: rounds.EXAMPLES].tolist()
    assert shown["answers"] == stored.probabilities[:, : rounds.EXAMPLES].argmax(2).tolist()
    assert {str(place) for place in shown["clean"]} <= found["clean"].keys()
    assert all(uri.startswith("data:image/png;base64,") for uri in found["clean"].values())


def test_flip_has_the_answers_of_the_last_round(run: Run):
    records = read_records(run)
    found, answers = data_in(replay(records))["flip"], records.flip_samples.answers
    clean, triggered = found["kinds"]
    assert (clean["name"], triggered["name"]) == ("clean", "triggered")
    # Nine of the ten classes: an image of the target label is not triggered.
    assert sorted(found["labels"]) == list(range(1, 10))
    assert found["targets"] == [0] * 9
    for row, view in enumerate(answers.views):
        by_label = dict(zip(answers.labels.tolist(), answers.answers(view).tolist(), strict=True))
        assert triggered["answers"][row] == [by_label[label] for label in found["labels"]]
    assert clean["answers"][0] == records.flip_samples.clean_answers.argmax(1).tolist()
    assert len(set(clean["pictures"]) | set(triggered["pictures"])) == 18


def test_the_search_shows_its_cards_round_by_round(own_home: Path, monkeypatch: pytest.MonkeyPatch):
    register_finder(monkeypatch)
    write_victims(own_home / "victims")
    spec = replace(finder_spec(), victim=VICTIM)
    most = registry.entry(spec.defense).config().rounds("search")
    records = read_records(taken(own_home, spec, most + 1))
    data = data_in(replay(records))
    assert sorted(map(int, data["search"]["rounds"])) == list(range(1, most + 1))
    assert data["search"]["last"] == most
    assert data["triggers"] is None
    cards = search_cards(replace(records.frame, round=1), records.classes)
    assert cards is not None
    first = data["search"]["rounds"]["1"]
    assert [card[0] for card in first["cards"]] == [card.title for card in cards.cards]
    assert [card[3] for card in first["cards"]] == [round(100 * card.flips) for card in cards.cards]


def test_a_clean_control_has_acc_only_and_says_why(own_home: Path):
    write_victims(own_home / "victims")
    html = replay(read_records(taken(own_home, small_spec(CONTROL), 3)))
    data = data_in(html)
    assert list(data["values"]) == ["acc"]
    assert [kind["name"] for kind in data["flip"]["kinds"]] == ["clean"]
    assert data["flip"]["targets"] == [None] * 10
    assert "This network was trained without a backdoor" in html


def test_a_defence_that_changes_weights_has_no_map_and_says_why(own_home: Path):
    write_victims(own_home / "victims")
    spec = small_spec(defense="ft", preset="paper", config=FTConfig(epochs=2, batch_size=8))
    html = replay(read_records(taken(own_home, spec, 2)))
    data = data_in(html)
    assert [view["name"] for view in data["views"]] == ["original", "repaired"]
    assert (data["map"], data["search"], data["triggers"]) == (None, None, None)
    assert len(data["flip"]["kinds"][0]["answers"]) == 2
    assert "changes weights and has no masks" in html


def test_names_cannot_leave_their_place(run: Run, monkeypatch: pytest.MonkeyPatch):
    files.write_json(run.path / files.NAME, {"name": NASTY})
    classes = (NASTY, "<!--<script>", *(f"class & {number}" for number in range(2, 10)))
    monkeypatch.setattr(RunRecords, "classes", property(lambda _: classes))
    html = replay(read_records(run))
    assert "<img" not in html
    # The data's, and the script's own.
    assert html.count("</script") == html.count("<script") == 2
    assert "<!--" not in html
    assert data_in(html)["classes"] == list(classes)
    assert "Replay of &lt;/script&gt;&lt;img" in html


def test_the_page_itself_forbids_every_request(run: Run):
    html = replay(read_records(run))
    addresses = set(re.findall(r"\b(?:https?|wss?|ftp)://[^\s\"'<)]+", html))
    assert addresses == {"http://www.w3.org/2000/svg"}
    policy = html.partition('Content-Security-Policy" content="')[2].partition('"')[0].replace("&#39;", "'")
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    assert "unsafe" not in policy
    assert not re.findall(r"\s(?:src|href|style|on\w+)=", html.partition('<script type="application/json"')[0])


def test_the_file_is_small_however_long_the_run_is(run: Run, monkeypatch: pytest.MonkeyPatch):
    assert len(replay(read_records(run))) < 500_000
    # Base64 makes the masks a third larger; everything else is bounded as it is written.
    assert channels.MOST_BYTES * 4 / 3 + rounds.MOST_SEARCH_BYTES + rounds.MOST_TRIGGER_BYTES < 0.75 * MOST_BYTES
    monkeypatch.setattr(channels, "MOST_BYTES", 100)
    monkeypatch.setattr(rounds, "MOST_TRIGGER_BYTES", 1)
    data = data_in(replay(read_records(run)))
    kept = data["map"]["rounds"]
    assert kept[-1] == 5
    assert len(kept) < 6
    np.testing.assert_allclose(masks_in(data)[-1] / 255, run.mask_history()[-1], atol=0.5 / 255 + 1e-6)
    assert list(data["triggers"]["rounds"]) == ["5"]
    assert set(data["triggers"]["clean"]) == set(map(str, data["triggers"]["rounds"]["5"]["clean"]))
    # The measures of all rounds stay.
    assert len(data["values"]["acc"][0]) == 6


def test_masks_that_do_not_compress_are_bounded_too():
    masks = np.random.default_rng(0).random((40, 2, 500), np.float32)
    assert 30_000 < len(channels.pack(masks)) < 45_000
    assert len(channels.pack(masks[:1].repeat(40, 0))) < 2_000


def test_parts_are_thinned_evenly_and_keep_the_last():
    parts = dict.fromkeys(range(1, 11), 10)
    assert fitting(parts, lambda size: size, 100) == parts
    assert list(fitting(parts, lambda size: size, 99)) == [2, 4, 6, 8, 10]
    assert list(fitting(parts, lambda size: size, 49)) == [2, 6, 10]
    assert list(fitting(parts, lambda size: size, 0)) == [10]


def test_it_is_made_on_the_command_line(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "run.html"
    assert main(["export", run.id, "--replay", str(path)]) == 0
    assert capsys.readouterr().out.startswith(f"{path}: rounds 0 to 5 of {run.id}, 0.")
    assert data_in(path.read_text())["rounds"] == 5


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Give one of --out FILE for the model, --replay FILE and --gif FILE"),
        (
            ["--out", "a.onnx", "--replay", "a.html"],
            "Give one of --out FILE for the model, --replay FILE and --gif FILE",
        ),
        (["--replay", "a.txt"], "--replay has to end in .html, not in 'a.txt'."),
        (["--replay", "nowhere/a.html"], "There is no directory nowhere"),
        (["--replay", "a.html", "--round", "2"], "--round does not go with --replay"),
        (["--replay", "a.html", "--view", "pruned"], "--view does not go with --replay"),
    ],
)
def test_a_mistake_gets_one_sentence(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments, words
):
    monkeypatch.chdir(tmp_path)
    assert main(["export", run.id, *arguments]) == 2
    told = capsys.readouterr()
    assert words in told.err
    assert (told.out, told.err.count("\n")) == ("", 1)
    assert list(tmp_path.iterdir()) == []


def test_it_is_made_in_the_background(run: Run):
    request = Request("replay", 5)
    folder = jobs.folder_of(run, request)
    folder.mkdir(parents=True)
    files.write_json(folder / jobs.REQUEST, jobs.asdict(request))
    status = make(folder)
    assert (status.state, status.files) == ("done", (f"{run.id}-round5-replay.html",))
    assert data_in((folder / status.files[0]).read_text())["rounds"] == 5


def test_the_parts_of_the_page_lie_in_the_package():
    there = {path.name for path in page.FOLDER.iterdir() if path.suffix == ".js"}
    assert there == set(page.SCRIPTS)
