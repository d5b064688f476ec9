"""Evidence kept beside a run: gathered in pieces, once, the same in however many, and never half written."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from invmask.data.budget import probe
from invmask.evidence import ablation, scores
from invmask.evidence.ablation import Ablation, Probe, random_sets
from invmask.evidence.rankings import RANKINGS, first_of
from invmask.masks.attach import attached, sharing_copy
from invmask.masks.state import MaskLayout
from invmask.measure.metrics import Measures
from invmask.runs.cluster.executor import Executor
from invmask.runs.store.all_runs import RunStore
from invmask.runs.store.run import Run
from invmask.runs.work import evidence, gather_evidence
from invmask.runs.work.advance import Outcome
from invmask.runs.work.bench import ProbeImages
from invmask.runs.work.scores import Synthesized, run_scores, synthesized_change
from invmask.runs.work.top_cuts import DRAWS
from invmask.victims.victim import load_victim
from tests.unit.run_helpers import CONTROL, VICTIM, small_spec, taken, write_victims


@pytest.fixture(autouse=True)
def few_images(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(evidence, "PER_CLASS", 2)
    monkeypatch.setattr(gather_evidence, "CONDUCTANCE_IMAGES", 2)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gather")
    write_victims(folder / "victims")
    return folder


def make_run(home: Path, victim: str = VICTIM) -> Run:
    return taken(home, small_spec(victim), 3)


@pytest.fixture(scope="module")
def gathered(home: Path) -> Run:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evidence, "PER_CLASS", 2)
        patch.setattr(gather_evidence, "CONDUCTANCE_IMAGES", 2)
        run = make_run(home)
        evidence.ask(run, 3)
        outcomes = []
        while not outcomes or outcomes[-1] is Outcome.MORE:
            outcomes.append(gather_evidence.gather(run.path, seconds=0))
            assert len(outcomes) < 200
        assert len(outcomes) > 30
        assert outcomes[-1] is Outcome.IDLE
    return run


def test_nothing_is_done_that_nobody_asked_for(home):
    run = make_run(home)
    assert not evidence.has_work(run)
    assert gather_evidence.gather(run.path) is Outcome.IDLE
    assert evidence.victim_evidence(run) is None


def test_each_channel_is_cut_alone(home, gathered):
    found = evidence.victim_evidence(gathered)
    assert found.complete
    victim = load_victim(VICTIM, [home / "victims"])
    layout = MaskLayout.of(victim.model)
    ablation = Ablation(victim.model, layout, ProbeImages.of(probe("cifar10", 2), victim))
    original, *cut = ablation.cut([[], *([channel] for channel in range(layout.channels))])
    assert found.original == original
    assert np.allclose(found.asr_change, [measures.asr - original.asr for measures in cut])
    assert np.allclose(found.acc_change, [measures.acc - original.acc for measures in cut])
    assert np.isfinite(found.conductance).all()
    assert (found.trigger_change >= 0).all()
    assert found.n_conductance == 2


@pytest.mark.parametrize("here", [True, False])
def test_evidence_is_gathered_on_the_run_s_device_where_there_is_one(
    own_home: Path, monkeypatch: pytest.MonkeyPatch, here: bool
):
    write_victims(own_home / "victims")
    run, seen = make_run(own_home), []
    # No accelerator is at hand, but tensors can be elsewhere than in memory.
    (run.path / "spec.json").write_text(json.dumps(small_spec(device="meta").as_json()))
    evidence.ask(run, 3)

    def on(model: torch.nn.Module, *tensors: torch.Tensor | None) -> None:
        seen.extend(tensor.device.type for tensor in [*model.parameters(), *tensors] if tensor is not None)

    class Cuts:
        def __init__(self, model, layout, images, precision):
            on(model, images.clean, images.triggered)
            self.channels, self.precision = layout.channels, precision

        def by_cost(self):
            return list(range(self.channels))

        def cut(self, sets):
            assert self.precision == "float32"
            return [Measures(0.5, 0.5, 0.5, 10, 9) for _ in sets]

    def answers(model, repair, views, images, precision):
        on(model, images, repair.masks.mask)
        assert precision == "float32"
        return torch.zeros(len(views), len(images), 10)

    def change(model, layout, before, after, _precision):
        on(model, before, after)
        return torch.zeros(layout.channels)

    def conductance(model, layer, *tensors):
        on(model, *tensors)
        return torch.zeros(layer.channels)

    monkeypatch.setattr(gather_evidence, "has_device", lambda name: here and name == "meta")
    monkeypatch.setattr(gather_evidence, "run_scores", lambda *_: torch.zeros(150))
    monkeypatch.setattr(gather_evidence, "synthesized_change", lambda *_: Synthesized(np.ones(150, np.float32), 2))
    monkeypatch.setattr(gather_evidence, "Ablation", Cuts)
    monkeypatch.setattr(gather_evidence, "view_probabilities", answers)
    monkeypatch.setattr(gather_evidence, "activation_change", change)
    monkeypatch.setattr(gather_evidence, "layer_conductance", conductance)
    assert gather_evidence.gather(run.path) is Outcome.IDLE
    assert evidence.victim_evidence(run).complete
    assert set(seen) == {"meta" if here else "cpu"}


def test_gates_are_taken_where_the_images_are(narrow, monkeypatch: pytest.MonkeyPatch):
    layout = MaskLayout.of(narrow)
    images = torch.zeros(3, 3, 32, 32, device="meta")

    class Network:
        def __init__(self, *_):
            pass

        def logits(self, gates):
            assert gates.device == images.device
            return torch.zeros(len(gates), 3, 10)

    monkeypatch.setattr(ablation, "Resumable", Network)
    cuts = Ablation(narrow.to("meta"), layout, Probe(images, torch.zeros(3).long()))
    assert [found.acc for found in cuts.cut([[], [0, 1]])] == [1, 1]


def own_measures(home: Path, channels: list[int]) -> Measures:
    """The victim with channels cut, in plain torch, on the run's probe."""
    victim = load_victim(VICTIM, [home / "victims"])
    layout, images = MaskLayout.of(victim.model), ProbeImages.of(probe("cifar10", 1), victim)
    gates = torch.ones(layout.channels)
    gates[channels] = 0
    with attached(sharing_copy(victim.model), layout, gates) as copy, torch.no_grad():
        return images.flags(copy(images.images).argmax(1)).measures()


def test_the_first_channels_of_each_ranking_are_held_against_random_sets(home, gathered):
    found, of_victim = evidence.top_cuts(gathered, 3), evidence.victim_evidence(gathered)
    assert found.complete
    assert found.done == 1
    assert found.wanted == RANKINGS
    victim = load_victim(VICTIM, [home / "victims"])
    numbers = {
        "score": run_scores(gathered, 3, victim).numpy(),
        "conductance": of_victim.conductance,
        "trigger": of_victim.trigger_change,
        "synthesized": synthesized_change(gathered, 3, victim).change,
        "asr": of_victim.asr_change,
    }
    layout = MaskLayout.of(victim.model)
    for name, ranked in found.of.items():
        assert list(ranked.channels) == first_of(name, numbers[name])
        assert len(ranked.top) == len(ranked.random) + 1 == len(ranked.counts)
        for place, count in list(enumerate(ranked.counts))[:8:3]:
            first = list(ranked.channels[:count])
            assert ranked.top[place] == own_measures(home, first)
            if place:
                sets = random_sets(layout, first, DRAWS, gathered.spec().seed)
                assert ranked.random[place - 1] == tuple(own_measures(home, drawn) for drawn in sets)
    assert found.of["score"].top[0] == found.original == own_measures(home, [])
    assert evidence.top_cuts(gathered, 2) is None
    assert not evidence.has_work(gathered)


def test_what_the_page_leads_with_is_measured_first(home):
    run = make_run(home)
    evidence.ask(run, 3)
    gather_evidence.gather(run.path, seconds=0)
    first = evidence.top_cuts(run, 3)
    assert list(first.of) == ["score"]
    assert (len(first.of["score"].top), len(first.of["score"].random)) == (2, 0)
    assert 0 < first.done < 0.1
    assert not first.complete


def test_where_no_channel_scores_there_is_nothing_to_cut(home, monkeypatch):
    run = make_run(home)
    evidence.ask(run, 3)
    monkeypatch.setattr(gather_evidence, "run_scores", lambda *_: torch.zeros(150))
    gather_evidence.gather(run.path)
    found = evidence.top_cuts(run, 3)
    assert found.complete
    assert (found.of["score"].channels, found.of["score"].top, found.of["score"].random) == ((), (found.original,), ())


def test_another_run_of_the_same_victim_takes_it_over(home, gathered, monkeypatch):
    other = make_run(home)
    evidence.ask(other, 2)
    monkeypatch.setattr(gather_evidence, "_next_piece", lambda *_: pytest.fail("done again"))
    assert gather_evidence.gather(other.path) is Outcome.IDLE
    assert np.array_equal(evidence.victim_evidence(other).asr_change, evidence.victim_evidence(gathered).asr_change)
    assert evidence.top_cuts(other, 2).complete


def test_a_clean_control_has_acc_alone(home):
    run = make_run(home, CONTROL)
    evidence.ask(run, 3)
    assert gather_evidence.gather(run.path) is Outcome.IDLE
    found = evidence.victim_evidence(run)
    assert found.complete
    assert np.isfinite(found.acc_change).all()
    for nothing in (found.asr_change, found.trigger_change, found.conductance):
        assert np.isnan(nothing).all()
    cuts = evidence.top_cuts(run, 3)
    assert cuts.wanted == ("score", "synthesized")
    assert cuts.original.asr is None


def test_what_goes_wrong_is_a_sentence_and_can_be_tried_again(home, monkeypatch):
    run = make_run(home)
    evidence.ask(run, 3)
    monkeypatch.setattr(gather_evidence, "_bench", lambda *_: 1 / 0)
    assert gather_evidence.gather(run.path) is Outcome.FAILED
    assert evidence.problem(run).startswith("The evidence could not be gathered.")
    assert gather_evidence.gather(run.path) is Outcome.IDLE
    evidence.ask(run, 3)
    assert evidence.has_work(run)


def test_a_damaged_file_is_gathered_anew(gathered):
    path = gathered.path / evidence.VICTIM
    content = path.read_bytes()
    for damaged in (b"", b"\x80\x04.", content[:200]):
        path.write_bytes(damaged)
        assert evidence.victim_evidence(gathered) is None
        assert evidence.has_work(gathered)
    path.write_bytes(content)
    path = gathered.path / "evidence" / "round-3.json"
    content = path.read_bytes()
    path.write_text("[")
    assert evidence.top_cuts(gathered, 3) is None
    path.write_bytes(content)


def test_evidence_of_another_victim_or_another_score_is_stale(home, gathered, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(scores, "SCORE_VERSION", scores.SCORE_VERSION + 1)
        assert evidence.top_cuts(gathered, 3) is None
        assert evidence.victim_evidence(gathered).complete
        assert evidence.has_work(gathered)
    assert not evidence.has_work(gathered)
    for suffix in (".json", ".safetensors"):
        path = home / "victims" / f"{VICTIM}{suffix}"
        content = path.read_bytes()
        path.write_bytes(content + b" ")
        assert evidence.top_cuts(gathered, 3) is None
        assert evidence.victim_evidence(gathered) is None
        path.write_bytes(content)
    assert evidence.top_cuts(gathered, 3).complete
    assert evidence.victim_evidence(gathered).complete


def test_what_was_written_is_read_again(home, gathered):
    run = make_run(home)
    (run.path / "evidence").mkdir()
    found = replace(evidence.victim_evidence(gathered), done=5)
    evidence.write_victim_evidence(run, found)
    again = evidence.victim_evidence(run)
    assert (again.done, again.original, again.key) == (5, found.original, found.key)
    assert not again.complete


def test_an_executor_hands_it_to_a_worker(home):
    run = make_run(home)
    handed = []

    class Client:
        def submit(self, work, *words, **_):
            handed.append((work.__name__, words))

    class Cluster:
        client = Client()

        def problem(self):
            return None

    executor = Executor(RunStore(home / "runs"), workers=1, threads=1)
    executor._hands.cluster = Cluster()
    executor.gather_evidence(run.id, 2)
    assert evidence.wanted(run) == 2
    # One worker: each run of this home that has something to do has its turn.
    for _ in executor.store.runs():
        executor._look(executor._hands)
    assert ("evidence_unit", (str(run.path), 2.0)) in handed
    assert all(name == "evidence_unit" for name, _ in handed)
