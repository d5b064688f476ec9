"""Hard cuts: which channels, what they do, what is proposed, and that the curves are measured once and kept."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from invmask.evidence import scores
from invmask.evidence.scores import channel_scores
from invmask.evidence.threshold import (
    LEAST_AGREEMENT,
    THRESHOLDS,
    Cut,
    CutPoint,
    Grounds,
    Order,
    cut_order,
    cuts,
    hard_masks,
    propose,
)
from invmask.masks.repair import Gates
from invmask.masks.state import MaskedLayer, MaskLayout, Masks, View
from invmask.measure.metrics import Measures
from invmask.measure.views import view_probabilities
from invmask.runs.cluster.executor import Executor
from invmask.runs.store.all_runs import RunStore
from invmask.runs.store.run import Run
from invmask.runs.work import cut_curves, measure_cuts
from invmask.runs.work.advance import Outcome
from invmask.runs.work.bench import make_bench
from tests.unit.run_helpers import CONTROL, VICTIM, small_spec, taken, write_victims

LAYOUT = MaskLayout((MaskedLayer("one", 3, 0), MaskedLayer("two", 3, 3)))
MASKS = Masks(torch.tensor([0.0, 0.45, 1.0, 0.2, 0.9, 0.0]), torch.tensor([0.0, 0.1, 0.2, 0.0, 1.0, 0.9]))
SCORES = torch.tensor([0.1, 0.6, 0.2, 0.0, 0.9, 0.5])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("threshold")
    write_victims(folder / "victims")
    return folder


def make_run(home: Path, victim: str = VICTIM) -> Run:
    return taken(home, small_spec(victim, probe_per_class=2), 3)


def spread_masks(run: Run) -> Masks:
    """Masks that a real run has, instead of those of three rounds."""
    generator = torch.Generator().manual_seed(0)
    size = run.shapes().channels
    return Masks(torch.rand(size, generator=generator), torch.rand(size, generator=generator))


@pytest.fixture(scope="module")
def measured(home: Path) -> Run:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "masks_at", lambda run, _: spread_masks(run))
        run = make_run(home)
        cut_curves.ERRAND.ask(run, 3)
        assert measure_cuts.measure_cuts(run.path, seconds=0) is Outcome.MORE
        first = cut_curves.read_curves(run, 3)
        assert first.done == 1
        assert not first.complete
        assert measure_cuts.measure_cuts(run.path) is Outcome.IDLE
    return run


def point(channels: int, agreement: float, restored: float | None = None) -> CutPoint:
    nothing = Measures(0.5, None, None, 1, 0)
    return CutPoint(Cut(channels), nothing, nothing, agreement, restored)


def test_channels_go_by_effective_mask_or_by_score():
    assert cut_order(MASKS, Order.MASK, SCORES) == MASKS.gate(View.PRUNED).argsort(stable=True).tolist()
    assert cut_order(MASKS, Order.SCORE, SCORES) == [4, 1, 5, 2, 0, 3]


def test_of_channels_of_the_same_score_the_mask_cuts_those_it_cuts_most_first():
    gate = MASKS.gate(View.PRUNED)
    assert cut_order(MASKS, Order.SCORE, torch.zeros(6)) == cut_order(MASKS, Order.MASK, SCORES)
    few = torch.tensor([0.0, 0.0, 0.5, 0.0, 0.5, 0.0])
    found = cut_order(MASKS, Order.SCORE, few)
    assert sorted(found[:2]) == [2, 4]
    for part in (found[:2], found[2:]):
        assert gate[part].tolist() == sorted(gate[part].tolist())
    # Where the score ranks no channel that is whole, the hardest cut has none of these.
    scores, most = torch.where(gate < 0.5, SCORES, 0), cuts(MASKS, Order.SCORE)[-1].channels
    assert float(gate[cut_order(MASKS, Order.SCORE, scores)[:most]].max()) < THRESHOLDS[-1]


def test_curves_of_another_order_are_measured_anew(measured: Run, monkeypatch: pytest.MonkeyPatch):
    assert cut_curves.read_curves(measured, 3) is not None
    monkeypatch.setattr(cut_curves, "ORDER_VERSION", 1)
    assert cut_curves.read_curves(measured, 3) is None


def test_each_threshold_cuts_what_lies_below_it():
    gate = MASKS.gate(View.PRUNED)
    found = cuts(MASKS, Order.MASK)
    assert found[0] == Cut(0, 0.0)
    assert [cut.channels for cut in found] == sorted({cut.channels for cut in found})
    for cut in found[1:]:
        hard = hard_masks(MASKS, cut_order(MASKS, Order.MASK, SCORES)[: cut.channels])
        assert torch.equal(hard.gate(View.PRUNED) < 0.5, gate < cut.threshold)
        assert not any((gate < lower).sum() == cut.channels for lower in THRESHOLDS if lower < cut.threshold)
    by_score = [cut.channels for cut in cuts(MASKS, Order.SCORE)]
    assert by_score == sorted(set(by_score))
    assert (by_score[0], by_score[-1]) == (0, found[-1].channels)
    many = Masks(torch.zeros(500), torch.zeros(500))
    steps = [cut.channels for cut in cuts(many, Order.SCORE)]
    assert steps[:6] == [0, 1, 2, 3, 6, 9]
    assert np.all(np.diff(steps, 2)[4:-1] >= 0)


def test_a_hard_cut_is_a_mask_whose_inverse_keeps_what_it_cuts():
    hard = hard_masks(MASKS, cut_order(MASKS, Order.MASK, SCORES)[:2])
    # Cut: 0 and 3; selected and kept: 1 and 2; left alone: 4 and 5.
    assert hard.mask.tolist() == [0, 1, 1, 0, 1, 1]
    assert hard.selection.tolist() == [0, 0, 0, 0, 1, 1]
    assert hard.gate(View.PRUNED).round().tolist() == [0, 1, 1, 0, 1, 1]
    assert hard.gate(View.INVERSE).round().tolist() == [1, 0, 0, 1, 1, 1]
    for view in (View.PRUNED, View.INVERSE):
        # As hard where the run's own masks are soft.
        assert torch.equal(hard_masks(replace(MASKS, steepness=5.0), [0, 3]).gate(view), hard.gate(view))


def proposed(points: list[CutPoint], least: float = LEAST_AGREEMENT) -> tuple[int, Grounds] | None:
    found = propose(points, least)
    return None if found is None else (found.point.cut.channels, found.grounds)


def test_without_a_synthesized_trigger_the_hardest_cut_that_keeps_the_answers_is_proposed():
    points = [point(0, 1.0), point(10, 0.99), point(20, 0.96), point(30, 0.97), point(40, 0.969), point(50, 0.2)]
    assert proposed(points) == (30, Grounds.CLEAN)
    assert proposed(points, 0.985) == (10, Grounds.CLEAN)
    assert proposed(points[4:]) is None
    assert proposed([]) is None
    # To cut nothing is no proposal.
    assert proposed([points[0], points[-1]]) is None


def test_the_fewest_channels_on_the_plateau_are_proposed():
    points = [point(0, 1.0, 0.1), point(5, 1.0, 0.6), point(10, 0.99, 0.85), point(20, 0.98, 0.9)]
    # What restores more at the price of clean answers does not lift the plateau.
    points += [point(30, 0.97, 0.88), point(40, 0.9, 1.0), point(50, 0.3, 0.4)]
    assert proposed(points) == (10, Grounds.PLATEAU)
    assert proposed([*points[:2], *points[3:]]) == (20, Grounds.PLATEAU)
    assert proposed(points, 0.9) == (40, Grounds.PLATEAU)


@pytest.mark.parametrize(("best", "expected"), [(0.29, (40, Grounds.CLEAN)), (0.31, (20, Grounds.PLATEAU))])
def test_a_trigger_that_no_cut_undoes_tells_nothing_of_the_cuts(best, expected):
    points = [point(0, 1.0, 0.2), point(10, 1.0, 0.2), point(20, 0.98, best), point(40, 0.97, 0.22)]
    # Far beyond what clean answers allow it is undone, as where the network is broken.
    assert proposed([*points, point(80, 0.5, 0.9)]) == expected


def test_a_cut_is_measured_with_the_rounds_synthesized_trigger_on(home: Path, monkeypatch: pytest.MonkeyPatch):
    run = make_run(home)
    bench = make_bench(run.spec(), [home / "victims"])
    subject, stored = bench.subject, run.examples_at(3)
    changes = stored.perturbations
    shared = replace(stored, perturbations=np.repeat(changes[:1], len(changes), 0) + np.float16(0.3), one_for_all=True)
    own = replace(stored, perturbations=np.linspace(0, 1, changes.size).reshape(changes.shape), one_for_all=False)
    clean = view_probabilities(subject.model, run.repair_at(3), [View.ORIGINAL], subject.images, "float32")[0].argmax(1)
    places = torch.from_numpy(stored.indices.astype(int))
    for examples, images, wanted in (
        (shared, subject.images + torch.from_numpy(shared.perturbations[0].astype(np.float32)), clean),
        (own, subject.images[places] + torch.from_numpy(own.perturbations.astype(np.float32)), clean[places]),
    ):
        monkeypatch.setattr(Run, "examples_at", lambda *_, found=examples: found)
        cut_curves.ERRAND.ask(run, 3)
        (run.path / "tuning" / "round-3.json").unlink(missing_ok=True)
        measure_cuts.measure_cuts(run.path)
        for each in cut_curves.read_curves(run, 3).points[Order.MASK][::4]:
            channels = run.masks_at(3).gate(View.PRUNED).argsort(stable=True)[: each.cut.channels].tolist()
            hard = hard_masks(run.masks_at(3), channels)
            said = view_probabilities(subject.model, Gates(hard), [View.PRUNED], images, subject.precision)[0].argmax(1)
            assert each.restored == pytest.approx(float((said == wanted).double().mean()))


@pytest.mark.parametrize("count", [0, 1, 2, 3, 8, 25])
def test_a_curve_grows_from_its_ends(count: int):
    order = measure_cuts.coarse_to_fine(count)
    assert sorted(order) == list(range(count))
    assert count < 3 or order[:2] == [0, count - 1]


def test_nothing_cut_is_the_original_and_a_cut_is_the_hard_masks_own_measure(home: Path, measured: Run):
    found, masks = cut_curves.read_curves(measured, 3), spread_masks(measured)
    assert found.complete
    assert not cut_curves.has_work(measured)
    bench = make_bench(measured.spec(), [home / "victims"])
    assert found.original == measured.shapes().original
    assert found.learned == tuple(bench.measure(bench.probe, Gates(masks), (View.PRUNED, View.INVERSE)).values())
    subject = bench.subject
    score = channel_scores(subject.model, bench.layout, masks, subject.images, subject.precision)
    for order in Order:
        points, channels = found.points[order], cut_order(masks, order, score)
        assert [each.cut for each in points] == cuts(masks, order)
        assert points[0].pruned == found.original
        assert points[0].agreement == 1
        for each in (points[len(points) // 2], points[-1]):
            hard = hard_masks(masks, channels[: each.cut.channels])
            views = bench.measure(bench.probe, Gates(hard), (View.PRUNED, View.INVERSE))
            assert (each.pruned, each.inverse) == (views[View.PRUNED], views[View.INVERSE])
            if each.restored is not None:
                assert each.restored * found.perturbed == pytest.approx(round(each.restored * found.perturbed))
            assert each.agreement * found.budget == pytest.approx(round(each.agreement * found.budget))
    assert min(each.agreement for points in found.points.values() for each in points) < 0.98


def test_cuts_of_another_score_are_measured_anew_and_those_of_another_victim_not_at_all(
    home: Path, monkeypatch: pytest.MonkeyPatch
):
    run = make_run(home)
    cut_curves.ERRAND.ask(run, 3)
    measure_cuts.measure_cuts(run.path)
    monkeypatch.setattr(scores, "SCORE_VERSION", scores.SCORE_VERSION + 1)
    assert cut_curves.read_curves(run, 3) is None
    assert measure_cuts.measure_cuts(run.path) is Outcome.IDLE
    found = cut_curves.read_curves(run, 3)
    assert found.complete
    # Another network under the same name, while the process that measures goes on.
    path = home / "victims" / f"{VICTIM}.safetensors"
    content = path.read_bytes()
    weights = load_file(path)
    save_file({**weights, "linear.bias": weights["linear.bias"] + 5 * torch.eye(10)[3]}, path)
    assert cut_curves.read_curves(run, 3) is None
    assert measure_cuts.measure_cuts(run.path) is Outcome.FAILED
    assert "is another one than when run" in cut_curves.ERRAND.problem(run)
    path.write_bytes(content)
    assert cut_curves.read_curves(run, 3) == found


def test_a_clean_control_has_acc_alone(home: Path):
    run = make_run(home, CONTROL)
    cut_curves.ERRAND.ask(run, 3)
    assert measure_cuts.measure_cuts(run.path) is Outcome.IDLE
    found = cut_curves.read_curves(run, 3)
    assert found.complete
    assert {each.pruned.asr for points in found.points.values() for each in points} == {None}


def test_nothing_is_done_that_nobody_asked_for_and_damage_is_mended(home: Path, measured: Run):
    run = make_run(home)
    assert measure_cuts.measure_cuts(run.path) is Outcome.IDLE
    assert cut_curves.read_curves(run, 3) is None
    cut_curves.ERRAND.ask(run, 2)
    (run.path / "tuning" / "round-2.json").write_text("[")
    assert cut_curves.has_work(run)
    assert cut_curves.read_curves(measured, 2) is None


def test_what_goes_wrong_is_a_sentence(home: Path, monkeypatch: pytest.MonkeyPatch):
    run = make_run(home)
    cut_curves.ERRAND.ask(run, 3)
    monkeypatch.setattr(measure_cuts, "make_bench", lambda *_: 1 / 0)
    assert measure_cuts.measure_cuts(run.path) is Outcome.FAILED
    assert cut_curves.ERRAND.problem(run).startswith("The cuts could not be measured. ZeroDivisionError")
    assert not cut_curves.has_work(run)


def test_work_that_kills_its_worker_again_and_again_is_given_up(home: Path, monkeypatch: pytest.MonkeyPatch):
    run = make_run(home)
    mark, written = run.path / "tuning" / "at-work.json", []
    cut_curves.ERRAND.ask(run, 3)
    monkeypatch.setattr(measure_cuts.cut_curves, "write_curves", lambda *_: written.append(mark.read_text()))
    measure_cuts.measure_cuts(run.path, seconds=0)
    assert (json.loads(written[0]), mark.exists()) == ({"losses": 1}, False)
    for losses in (1, 2):
        # As a worker that is killed leaves it.
        mark.write_text(json.dumps({"losses": losses}))
        assert measure_cuts.measure_cuts(run.path, seconds=0) is Outcome.MORE
        assert json.loads(written[-1]) == {"losses": losses + 1}
    mark.write_text(json.dumps({"losses": 3}))
    assert measure_cuts.measure_cuts(run.path, seconds=0) is Outcome.FAILED
    assert "The worker was killed 3 times" in cut_curves.ERRAND.problem(run)
    cut_curves.ERRAND.ask(run, 3)
    assert measure_cuts.measure_cuts(run.path, seconds=0) is Outcome.MORE


def test_cuts_of_an_accelerator_s_run_are_measured_where_there_is_none(home: Path):
    run = make_run(home)
    on_cpu, elsewhere = make_run(home), replace(run.spec(), device="cuda:7", precision="bfloat16")
    (run.path / "spec.json").write_text(json.dumps(elsewhere.as_json()))
    for each in (run, on_cpu):
        cut_curves.ERRAND.ask(each, 2)
        assert measure_cuts.measure_cuts(each.path) is Outcome.IDLE
    assert cut_curves.ERRAND.problem(run) is None
    assert cut_curves.read_curves(run, 2) == cut_curves.read_curves(on_cpu, 2)


def test_an_executor_hands_it_to_a_worker(home: Path):
    run, handed = make_run(home), []

    class Cluster:
        class client:  # noqa: N801
            submit = staticmethod(lambda work, *words, **_: handed.append((work.__name__, words)))

        problem = staticmethod(lambda: None)

    executor = Executor(RunStore(home / "runs"), workers=1, threads=1)
    executor._hands.cluster = Cluster()
    executor.measure_cuts(run.id, 2)
    # One worker: each run of this home that has something to do has its turn.
    for _ in executor.store.runs():
        executor._look(executor._hands)
    assert ("cuts_unit", (str(run.path), 2.0)) in handed
