import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from invmask import machine
from invmask.data.embedded import embedded_folder, write_part
from invmask.data.images import LabelledImages
from invmask.defenses.base import Examples
from invmask.defenses.ims.config import PRESETS
from invmask.defenses.ims.state import IMSState
from invmask.defenses.ims.stepper import IMS
from invmask.errors import UserError
from invmask.masks.attach import sharing_copy
from invmask.masks.state import MaskLayout, Masks
from invmask.memory import held_bytes, least_recent_first
from invmask.runs.store import files
from invmask.runs.store.all_runs import RunStore
from invmask.runs.store.goals import Goal, Want, read_want, write_want
from invmask.runs.store.living_process import began
from invmask.runs.store.parsed_records import Parsed
from invmask.runs.store.records import RunState
from invmask.runs.store.run import Run
from invmask.runs.work import advance as advance_module
from invmask.runs.work import progress, scores
from invmask.runs.work.advance import Limits, Outcome, advance
from invmask.runs.work.bench import Bench, ProbeImages, make_bench, spec_of
from invmask.runs.work.worker_mark import Marker
from invmask.settings import victim_folders
from invmask.victims.victim import load_victim, new_model, read_card, save_victim
from tests.unit.run_helpers import (
    CONTROL,
    ROOT,
    VICTIM,
    advance_to,
    long_spec,
    small_spec,
    without_time,
    write_victims,
)

ROUNDS = 7


@pytest.fixture
def store(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> RunStore:
    """A store with victims, where the measuring at the end takes the probe instead of 2,000 images."""
    write_victims(own_home / "victims")
    monkeypatch.setattr(Bench, "all_test_images", lambda bench: bench.probe)
    return RunStore(own_home / "runs")


@pytest.fixture
def finished(store: RunStore) -> Run:
    run = store.create(small_spec())
    store.go_on(run.id)
    assert advance(run.path) is Outcome.IDLE
    return run


def forget_what_is_in_memory() -> None:
    progress._benches.clear()


def test_a_new_run_is_new_and_has_nothing(store: RunStore):
    before = int(time.time())
    run = store.create(small_spec())
    summary = run.summary()
    assert summary.state is RunState.NEW
    assert summary.round == 0
    assert summary.original is None
    assert summary.spec == small_spec()
    assert before <= summary.created <= time.time()
    assert run.entries() == ()
    assert run.mask_history().shape == (0, 2, 0)
    assert run.layout() is None
    assert not run.has_work()
    with pytest.raises(UserError, match="no rounds yet"):
        run.masks_at(0)
    assert advance(run.path) is Outcome.IDLE
    assert not (run.path / files.STATE).exists()


def test_ids_sort_by_creation_and_can_be_read(store: RunStore):
    first = store.create(small_spec())
    time.sleep(1.1)
    second = store.create(small_spec(CONTROL))
    assert first.id < second.id
    assert "-badnets-" in first.id
    assert "-clean-" in second.id
    assert [summary.id for summary in store.listing().runs] == [second.id, first.id]


def test_steps_by_hand_add_up_and_then_the_run_pauses(store: RunStore):
    run = store.create(small_spec())
    store.advance(run.id, 2)
    store.advance(run.id)
    assert run.summary().state is RunState.WAITING
    assert run.summary().until == 3
    assert advance(run.path) is Outcome.IDLE
    assert run.summary().state is RunState.PAUSED
    assert run.summary().round == 3
    assert run.summary().until is None
    assert [entry.record.round for entry in run.entries()] == [1, 2, 3]


def test_by_hand_run_through_and_in_pieces_give_the_same_records(store: RunStore, finished: Run):
    by_hand, in_pieces = store.create(small_spec()), store.create(small_spec())
    for _ in range(ROUNDS):
        store.advance(by_hand.id)
        forget_what_is_in_memory()
        advance(by_hand.path)
    store.go_on(in_pieces.id)
    while advance(in_pieces.path, Limits(rounds=3)) is Outcome.MORE:
        forget_what_is_in_memory()
    for run in (by_hand, in_pieces):
        assert without_time(run.entries()) == without_time(finished.entries())
        assert np.array_equal(run.mask_history(), finished.mask_history())
        assert (run.path / files.EXAMPLES).read_bytes() == (finished.path / files.EXAMPLES).read_bytes()
        assert replace(run.result(), seconds=0) == replace(finished.result(), seconds=0)


def test_the_rounds_have_something_to_compare(finished: Run):
    entries = finished.entries()
    assert len({entry.record.total for entry in entries}) == ROUNDS
    history = finished.mask_history()
    assert not np.array_equal(history[2], history[-1])
    assert np.array_equal(history[0], np.ones_like(history[0]))


def test_the_end_says_how_it_went(finished: Run):
    summary = finished.summary()
    assert summary.state is RunState.FINISHED
    assert summary.stopped_because.endswith(".")
    assert summary.result.rounds == {"initialise": 2, "minimise": 3, "sparsify": 2}
    assert summary.result.round == ROUNDS
    assert summary.result.counts["channels"] == 150
    assert summary.result.views.original == summary.original
    assert summary.result.views.pruned == finished.entry(ROUNDS).views.pruned
    assert summary.result.seconds == pytest.approx(sum(entry.seconds for entry in finished.entries()))


def test_the_probe_is_measured_as_the_spec_says(store: RunStore, finished: Run):
    measures = finished.entry(1).views.pruned
    assert (measures.n_clean, measures.n_triggered) == (10, 9)
    control = store.create(small_spec(CONTROL, probe_per_class=2))
    store.advance(control.id)
    advance(control.path)
    measures = control.entry(1).views.inverse
    assert (measures.n_clean, measures.n_triggered) == (20, 0)
    assert measures.asr is None
    assert measures.ra is None


@pytest.mark.usefixtures("store")
def test_views_agree_with_plain_passes_of_the_network():
    from invmask.masks.attach import attached
    from invmask.masks.repair import Gates
    from invmask.masks.state import GATED, Masks
    from invmask.measure.metrics import answers, flags

    bench = make_bench(small_spec(probe_per_class=3), victim_folders())
    generator = torch.Generator().manual_seed(0)
    masks = Masks(*torch.rand(2, bench.layout.channels, generator=generator))
    measured = bench.measure(bench.probe, Gates(masks), GATED)
    for view in GATED:
        with attached(bench.subject.model, bench.layout, masks.gate(view)) as model:
            clean, triggered = answers(model, bench.probe.clean), answers(model, bench.probe.triggered)
        expected = flags(clean, bench.probe.labels, triggered, bench.probe.triggered_labels, 0).measures()
        assert measured[view] == expected
    assert len({str(value) for value in measured.values()}) > 1


@pytest.mark.usefixtures("store")
def test_the_subject_holds_no_test_image():
    bench = make_bench(small_spec(spc=5), victim_folders())
    shown = {image.numpy().tobytes() for image in bench.subject.images}
    everything = bench.probe
    assert isinstance(everything, ProbeImages)
    assert not shown & {image.numpy().tobytes() for image in (*everything.clean, *everything.triggered)}


def test_every_round_can_be_looked_at_again(finished: Run):
    history = finished.mask_history()
    assert history.shape == (ROUNDS + 1, 2, 150)
    for number in range(ROUNDS + 1):
        masks = finished.masks_at(number)
        assert np.array_equal(masks.mask.numpy(), history[number, 0])
        assert np.array_equal(masks.selection.numpy(), history[number, 1])
    assert finished.layout().channels == 150
    assert finished.examples_at(2) is None
    examples = finished.examples_at(3)
    assert examples.indices.tolist() == list(examples.indices)
    assert examples.perturbations.shape == (8, 3, 32, 32)
    assert np.abs(examples.perturbations).max() > 0
    assert np.allclose(examples.probabilities.sum(2), 1, atol=1e-5)
    for wrong in (-1, ROUNDS + 1):
        with pytest.raises(UserError, match=f"has no round {wrong}"):
            finished.masks_at(wrong)
    with pytest.raises(UserError, match="has no round 0"):
        finished.entry(0)


def test_entries_since_a_round(finished: Run):
    assert [entry.record.round for entry in finished.entries(since=5)] == [6, 7]
    assert finished.entries(since=ROUNDS) == ()


def test_two_readers_see_the_same_while_it_is_written(store: RunStore):
    """A line that the state does not vouch for yet does not exist for anyone, whole or half."""
    run = store.create(small_spec())
    store.advance(run.id, 2)
    advance(run.path)
    seen = run.entries()
    line = (run.path / files.RECORDS).read_text().splitlines()[0]
    for tail in (line + "\n", line[: len(line) // 2]):
        with (run.path / files.RECORDS).open("a") as file:
            file.write(tail)
        assert Run(run.path).entries() == seen
        code = f"""
from pathlib import Path
from invmask.runs.work.worker_mark import Marker
from invmask.runs.store.run import Run
print([repr(entry) for entry in Run(Path({str(run.path)!r})).entries()])
"""
        other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
        assert other.stdout.strip() == str([repr(entry) for entry in seen])


def test_what_a_kill_left_behind_is_cut_off(store: RunStore, finished: Run):
    run = store.create(small_spec())
    store.advance(run.id, 4)
    advance(run.path)
    for name in (files.RECORDS, files.MASKS, files.EXAMPLES):
        with (run.path / name).open("ab") as file:
            file.write(b'{"record": {"round": 5, "half')
    store.go_on(run.id)
    advance(run.path)
    assert without_time(run.entries()) == without_time(finished.entries())
    for name in (files.MASKS, files.EXAMPLES):
        assert (run.path / name).read_bytes() == (finished.path / name).read_bytes()
    assert len((run.path / files.RECORDS).read_text().splitlines()) == ROUNDS


def test_a_killed_process_loses_at_most_the_round_in_hand(store: RunStore):
    through, killed = store.create(long_spec(12)), store.create(long_spec(12))
    for run in (through, killed):
        store.go_on(run.id)
    code = (
        f"from pathlib import Path; from invmask.runs.work.advance import advance; advance(Path({str(killed.path)!r}))"
    )
    worker = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    deadline = time.monotonic() + 400
    while (killed.committed() is None or killed.committed().round < 5) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert killed.summary().state is RunState.RUNNING
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    reached = killed.committed().round
    assert 5 <= reached < 16, "it was over before the kill"
    assert len(killed.entries()) == reached
    assert killed.summary().state is RunState.WAITING

    assert advance(killed.path) is Outcome.IDLE
    advance(through.path)
    assert without_time(killed.entries()) == without_time(through.entries())
    assert np.array_equal(killed.mask_history(), through.mask_history())
    assert killed.summary().state is RunState.FINISHED
    assert "interrupted and done again" in killed.summary().message


def test_a_round_that_kills_its_worker_again_and_again_fails(store: RunStore):
    run = store.create(small_spec())
    store.advance(run.id, 1)
    advance(run.path)
    store.go_on(run.id)
    for _ in range(advance_module.MOST_LOSSES):
        Marker.take(run)  # and never left: its process was killed
    assert advance(run.path) is Outcome.FAILED
    assert run.summary().state is RunState.FAILED
    assert "killed 3 times in round 2" in run.summary().message
    store.go_on(run.id)
    assert advance(run.path) is Outcome.IDLE
    assert run.summary().state is RunState.FINISHED


def test_a_pause_acts_within_the_round(store: RunStore):
    run = store.create(small_spec())
    store.go_on(run.id)
    taken = []

    def pause_after_the_second(entry):
        taken.append(entry)
        if len(taken) == 2:
            store.pause(run.id)

    assert advance(run.path, on_round=pause_after_the_second) is Outcome.IDLE
    assert run.summary().round == 2
    assert run.summary().state is RunState.PAUSED
    store.go_on(run.id)
    advance(run.path)
    assert run.summary().state is RunState.FINISHED


def test_a_stop_measures_what_there_is_and_can_be_taken_back(store: RunStore, finished: Run):
    run = store.create(small_spec())
    store.advance(run.id, 3)
    advance(run.path)
    assert not run.summary().ending
    store.stop(run.id)
    assert run.summary().ending
    assert run.has_work()
    advance(run.path)
    summary = run.summary()
    assert summary.state is RunState.STOPPED
    assert not summary.ending
    assert summary.stopped_because == "Stopped by hand after round 3."
    assert summary.result.rounds == {"initialise": 2, "minimise": 1, "sparsify": 0}
    store.go_on(run.id)
    assert run.summary().state in (RunState.WAITING, RunState.RUNNING)
    assert run.summary().result is None
    advance(run.path)
    assert without_time(run.entries()) == without_time(finished.entries())


def test_a_cap_on_the_rounds_ends_the_run_with_its_reason(store: RunStore):
    run = store.create(small_spec())
    store.go_on(run.id, until=2, because="Two rounds were enough.")
    advance(run.path)
    assert run.summary().state is RunState.STOPPED
    assert run.summary().stopped_because == "Two rounds were enough."
    assert run.summary().round == 2


def test_a_run_stopped_before_its_first_round_has_measures_too(store: RunStore):
    run = store.create(small_spec())
    store.stop(run.id)
    advance(run.path)
    assert run.result().round == 0
    assert run.result().views.pruned == run.result().views.original


def test_a_pause_in_the_last_round_leaves_the_end_for_later(store: RunStore):
    run = store.create(small_spec())
    store.go_on(run.id)
    advance(run.path, on_round=lambda entry: store.pause(run.id) if entry.record.round == ROUNDS else None)
    assert run.summary().state is RunState.PAUSED
    assert not run.has_work()
    store.go_on(run.id)
    advance(run.path)
    assert run.summary().state is RunState.FINISHED


def test_limits_of_a_unit(store: RunStore):
    run = store.create(small_spec())
    store.go_on(run.id)
    assert advance(run.path, Limits(rounds=2)) is Outcome.MORE
    assert run.summary().round == 2
    assert advance(run.path, Limits(seconds=0.0)) is Outcome.MORE
    assert run.summary().round == 3


def test_only_one_may_advance_a_run(store: RunStore):
    run = store.create(small_spec())
    store.go_on(run.id)
    with run.advance_lock():
        assert advance(run.path) is Outcome.BUSY
        with pytest.raises(UserError, match="busy"):
            store.delete(run.id, patience=0.1)
    assert run.summary().round == 0


def test_a_deleted_run_is_gone_for_everyone(store: RunStore, finished: Run):
    store.delete(finished.id)
    assert store.listing().runs == ()
    assert {path.relative_to(store.folder).as_posix() for path in store.folder.rglob("*")} == {
        files.LOCKS,
        files.WANTED,
    }
    assert advance(finished.path) is Outcome.IDLE
    with pytest.raises(UserError, match="There is no run"):
        store.run(finished.id)
    with pytest.raises(UserError, match="There is no run"):
        store.delete(finished.id)


def test_a_run_deleted_while_it_is_advanced_ends_quietly(store: RunStore):
    run = store.create(small_spec())
    store.go_on(run.id)
    assert advance(run.path, on_round=lambda entry: run.path.rename(store.folder / "away")) is Outcome.IDLE


@pytest.mark.parametrize(
    "wrong",
    ["", ".", "..", "../runs", "/etc", "20261122-151230-badnets-ab12", "20261122-151230-../../etc-ab12", "x" * 5000,
     "20261122-151230-badnets-ab12/", "20261122-151230-badnets-ab12\n", "a\0b"],
)  # fmt: skip
def test_ids_from_addresses_never_leave_the_folder(store: RunStore, wrong: str):
    for ask in (store.run, store.delete, store.pause, store.stop, store.advance, store.go_on):
        with pytest.raises(UserError, match="There is no run"):
            ask(wrong)


def test_wrong_numbers_of_rounds(store: RunStore):
    run = store.create(small_spec())
    for wrong in (0, -1, 10**9):
        with pytest.raises(UserError, match="number of rounds"):
            store.advance(run.id, wrong)


def complaint(read: Callable[[], object]) -> str | None:
    """The sentence that reading ends with; None where all is well."""
    try:
        read()
    except UserError as error:
        return str(error)
    return None


READ_FOR = {
    files.SPEC: {"summary"},
    files.WANT: {"summary", "has_work"},
    files.STATE: {"summary", "has_work", "entries", "mask_history"},
    files.SHAPES: {"summary", "mask_history"},
    files.RESULT: {"summary", "has_work"},
    files.STATUS: {"summary", "has_work"},
    files.RECORDS: {"entries"},
}


@pytest.mark.parametrize("name", READ_FOR)
@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"a": 1}', b"\xff" * 40])
def test_damaged_files_give_one_sentence_and_hide_no_other_run(
    store: RunStore, name: str, content: bytes, monkeypatch: pytest.MonkeyPatch
):
    good = store.create(small_spec())
    bad = store.create(small_spec(config=replace(small_spec().config, rounds_initialise=1, rounds_minimise=1,
                                                 rounds_sparsify=0)))  # fmt: skip
    store.go_on(bad.id)
    advance(bad.path)
    (bad.path / name).write_bytes(content)
    # As another process finds it: this one has parsed the records already.
    monkeypatch.setattr("invmask.runs.store.run.PARSED", Parsed())
    sentence = f"Run {bad.id} is damaged and cannot be read; delete it with 'python -m invmask delete {bad.id}'."
    # An object without a word of ours in it is a status that says nothing.
    sound = (name, content) == (files.STATUS, b'{"a": 1}')
    told = set() if sound else READ_FOR[name]
    reads = (bad.summary, bad.has_work, bad.entries, bad.mask_history)
    assert {read.__name__: complaint(read) for read in reads} == {
        read.__name__: sentence if read.__name__ in told else None for read in reads
    }
    listing = store.listing()
    assert list(listing.problems) == [sentence] * ("summary" in told)
    assert {summary.id for summary in listing.runs} == {good.id, bad.id} - ({bad.id} if "summary" in told else set())
    store.delete(bad.id)
    assert [summary.id for summary in store.listing().runs] == [good.id]


def test_a_damaged_state_fails_the_run_in_a_sentence(store: RunStore):
    run = store.create(small_spec())
    store.advance(run.id, 2)
    advance(run.path)
    os.truncate(run.path / files.MASKS, 10)
    store.go_on(run.id)
    assert advance(run.path) is Outcome.FAILED
    assert "damaged" in run.summary().message


def test_a_round_that_raises_fails_the_run_and_can_be_tried_again(store: RunStore, monkeypatch: pytest.MonkeyPatch):
    from invmask.defenses.ims.stepper import IMS

    run = store.create(small_spec())
    store.go_on(run.id)

    def fail(*_):
        raise RuntimeError("no luck today\nsecond line")

    with monkeypatch.context() as patched:
        patched.setattr(IMS, "step", fail)
        assert advance(run.path) is Outcome.FAILED
    summary = run.summary()
    assert summary.state is RunState.FAILED
    assert "no luck today" in summary.message
    assert "\n" not in summary.message
    assert "Traceback" in (run.path / files.FAILURE).read_text()
    assert advance(run.path) is Outcome.IDLE
    store.go_on(run.id)
    assert advance(run.path) is Outcome.IDLE
    assert run.summary().state is RunState.FINISHED
    assert run.summary().message is None


def test_a_missing_victim_fails_the_run_in_a_sentence(store: RunStore):
    run = store.create(small_spec("cifar10-preactresnet18w2-nothing"))
    store.go_on(run.id)
    assert advance(run.path) is Outcome.FAILED
    assert run.summary().message.startswith("There is no victim 'cifar10-preactresnet18w2-nothing'")


@pytest.mark.parametrize("warm", [True, False])
def test_a_run_does_not_go_on_with_another_network(store: RunStore, warm: bool):
    run = store.create(small_spec())
    store.advance(run.id, 2)
    assert advance(run.path) is Outcome.IDLE
    if not warm:
        forget_what_is_in_memory()
    path = run.path.parents[1] / "victims" / f"{VICTIM}.safetensors"
    weights = load_file(path)
    save_file({name: 1.1 * tensor if tensor.is_floating_point() else tensor for name, tensor in weights.items()}, path)
    store.advance(run.id)
    assert advance(run.path) is Outcome.FAILED
    assert "is another one than when run" in run.summary().message
    assert len(run.entries()) == 2


def test_a_worker_keeps_as_much_of_runs_as_it_has_room_for(store: RunStore, monkeypatch: pytest.MonkeyPatch):
    runs = [store.create(small_spec()) for _ in range(3)]
    advance_to(runs[0], 1)
    one = held_bytes(progress._benches[runs[0].path])
    monkeypatch.setattr(progress, "_benches", least_recent_first(5 * one // 2, latest_stays=True))
    for run in (runs[0], runs[1], runs[0], runs[2]):
        advance_to(run, run.summary().round + 1)
    assert set(progress._benches) == {runs[0].path, runs[2].path}
    monkeypatch.setattr(progress, "_benches", least_recent_first(one // 2, latest_stays=True))
    for run in runs[:2]:
        advance_to(run, run.summary().round + 1)
        assert set(progress._benches) == {run.path}


def test_a_file_that_two_threads_write_at_once_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path, sync = tmp_path / "want.json", os.fsync

    def meanwhile(_: int) -> None:
        monkeypatch.setattr(os, "fsync", sync)
        files.write_bytes(path, b"short")
        assert path.read_bytes() == b"short"

    monkeypatch.setattr(os, "fsync", meanwhile)
    files.write_bytes(path, b"much longer")
    assert path.read_bytes() == b"much longer"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_cannot_be_written_is_named_as_it_was_asked_for(tmp_path: Path):
    (tmp_path / "model.onnx").mkdir()
    with pytest.raises(IsADirectoryError) as raised:
        files.write_bytes(tmp_path / "model.onnx", b"content")
    assert raised.value.filename == str(tmp_path / "model.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]


@pytest.mark.usefixtures("store")
def test_paper_runs_in_float32_unless_asked_otherwise(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(machine, "has_bfloat16", lambda device="cpu": True)
    assert spec_of(VICTIM, "paper", 1, 0).precision == "float32"
    assert spec_of(VICTIM, "paper", 1, 0, precision="bfloat16").precision == "bfloat16"
    assert {spec_of(VICTIM, name, 1, 0).precision for name in PRESETS if name != "paper"} == {"bfloat16"}


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(("dataset", "mirrors"), [("cifar10", True), ("gtsrb", False)])
def test_a_defence_is_told_whether_images_may_be_mirrored(own_home: Path, dataset: str, mirrors: bool):
    card = read_card(own_home / "victims" / f"{VICTIM}.json")
    if dataset != card.dataset:
        card = replace(card, name="signs", dataset=dataset)
        save_victim(own_home / "victims", card, new_model(dataset, card.architecture))
        images = LabelledImages(np.zeros((43, 32, 32, 3), np.uint8), np.arange(43))
        for part in ("budget", "test"):
            write_part(embedded_folder(dataset), part, images, np.arange(43), {})
    assert make_bench(small_spec(card.name), victim_folders()).subject.mirrors is mirrors


def test_a_long_round_is_told_from_a_worker_that_is_gone(store: RunStore):
    run = store.create(small_spec())
    store.advance(run.id, 2)
    assert advance(run.path) is Outcome.IDLE
    store.pause(run.id)
    path = run.path / files.WORKER

    def state(host: str, silent: float, pid: int = os.getpid(), since: float = began(os.getpid())) -> RunState:
        mark = {**json.loads(path.read_text()), "busy": True, "host": host, "pid": pid, "since": since}
        files.write_json(path, mark)
        os.utime(path, (time.time() - silent,) * 2)
        return run.summary().state

    here = socket.gethostname()
    assert state(here, 1_000) is RunState.RUNNING
    assert json.loads(path.read_text())["since"] == began(os.getpid())
    assert state(here, 1_000, pid=2**22 + 1) is RunState.PAUSED
    # After a restart another process may have the number.
    assert state(here, 1_000, since=began(os.getpid()) - 60) is RunState.PAUSED
    assert state(here, 10_000) is RunState.PAUSED
    assert state("elsewhere", 60) is RunState.RUNNING
    assert state("elsewhere", 1_000) is RunState.PAUSED


@pytest.mark.parametrize("one_for_all", [False, True])
def test_one_example_of_ones_own_is_not_for_all_images(
    store: RunStore, monkeypatch: pytest.MonkeyPatch, one_for_all: bool
):
    """The defence says which it is; the number of examples does not."""
    own = IMS.examples

    def examples(defense: IMS, state: IMSState) -> Examples | None:
        found = own(defense, state)
        return found and replace(found, one_for_all=one_for_all)

    monkeypatch.setattr(IMS, "examples", examples)
    spec = small_spec(spc=1)
    run = store.create(replace(spec, config=replace(spec.config, batch_size=1)))
    store.advance(run.id, 3)
    advance(run.path)
    found = run.examples_at(3)
    assert len(found.perturbations) == 1
    assert (found.shared is not None) == one_for_all


def test_scores_are_computed_where_the_network_is(finished: Run, monkeypatch: pytest.MonkeyPatch):
    seen = []

    def computed(model: Any, layout: MaskLayout, masks: Masks, images: Tensor, _: str) -> Tensor:
        seen.append({tensor.device.type for tensor in (images, masks.mask, masks.selection, *model.parameters())})
        return torch.zeros(layout.channels)

    monkeypatch.setattr(scores, "channel_scores", computed)
    victim = load_victim(VICTIM, victim_folders())
    # No accelerator is at hand, but tensors can be elsewhere than in memory.
    scores.run_scores(finished, 2, replace(victim, model=sharing_copy(victim.model).to("meta")))
    assert seen == [{"meta"}]


def test_a_run_pauses_at_the_end_of_a_stage(store: RunStore):
    run = store.create(small_spec())
    stages = [stage.name for stage in run.spec().entry.stages if run.spec().config.rounds(stage.name)]
    for stage in stages:
        assert stage == stages[0] or run.summary().stage == stage
        store.advance(run.id, 50, stage)
        advance(run.path)
        assert {entry.record.stage for entry in run.entries()} == set(stages[: stages.index(stage) + 1])
    assert run.summary().state is RunState.FINISHED


def test_a_step_after_a_stage_takes_one_round(store: RunStore):
    run = store.create(small_spec())
    stage = next(stage.name for stage in run.spec().entry.stages if run.spec().config.rounds(stage.name))
    store.advance(run.id, 50, stage)
    advance(run.path)
    taken = run.summary().round
    assert run.summary().state is RunState.PAUSED
    store.advance(run.id)
    advance(run.path)
    assert run.summary().round == taken + 1


def test_wishes_survive_the_disk(tmp_path: Path):
    assert read_want(tmp_path) == Want()
    for want in (Want(Goal.FINISH, 3, "Because."), Want(Goal.ADVANCE, 7, stage="search"), Want(Goal.STOP), Want()):
        write_want(tmp_path, want)
        assert read_want(tmp_path) == want
    (tmp_path / files.WANT).write_text(json.dumps({"goal": "dance"}))
    with pytest.raises(ValueError, match="dance"):
        read_want(tmp_path)


def test_bfloat16_runs_repeat_too(store: RunStore):
    runs = [store.create(small_spec(precision="bfloat16")) for _ in range(2)]
    for run in runs:
        store.go_on(run.id)
    advance(runs[0].path)
    while advance(runs[1].path, Limits(rounds=1)) is Outcome.MORE:
        forget_what_is_in_memory()
    assert without_time(runs[0].entries()) == without_time(runs[1].entries())
