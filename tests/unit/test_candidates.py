"""What a search found for each label lies beside a run; and what a round did not change is not measured anew."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from invmask.defenses.base import PORTRAITS, Candidates
from invmask.errors import UserError
from invmask.masks.repair import Gates, Repair, Weights, unchanged
from invmask.masks.state import Masks
from invmask.measure.metrics import Measures
from invmask.runs.store import files, journal
from invmask.runs.store.all_runs import RunStore
from invmask.runs.store.format import Shapes
from invmask.runs.store.records import StoredCandidates
from invmask.runs.store.run import Run
from invmask.runs.work import progress
from invmask.runs.work.advance import Limits, Outcome, advance
from invmask.runs.work.bench import Bench
from tests.unit.run_helpers import advance_to, small_spec, without_time, write_victims
from tests.unit.searching import finder_spec, found, register_finder

SEARCH, ROUNDS = 3, 7


@pytest.fixture
def store(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> RunStore:
    register_finder(monkeypatch)
    write_victims(own_home / "victims")
    monkeypatch.setattr(Bench, "all_test_images", lambda bench: bench.probe)
    return RunStore(own_home / "runs")


@pytest.fixture
def finished(store: RunStore) -> Run:
    run = store.create(finder_spec())
    store.go_on(run.id)
    assert advance(run.path) is Outcome.IDLE
    return run


def assert_same(stored: StoredCandidates | None, made: Candidates) -> None:
    assert stored is not None
    assert (stored.family, stored.standing_out, stored.lead) == (made.family, made.standing_out, made.lead)
    for name in ("labels", "sizes", "flips", "searched"):
        assert np.array_equal(getattr(stored, name), getattr(made, name).numpy()), name
    pixels = (made.portraits * 255).round().permute(0, 2, 3, 1).numpy()
    assert stored.portraits.dtype == np.uint8
    assert np.array_equal(stored.portraits, pixels)


def test_every_round_of_a_search_is_kept_and_the_last_one_stays(finished: Run):
    for number in range(1, ROUNDS + 1):
        last = min(number, SEARCH)
        assert_same(finished.candidates_at(number), found(last, SEARCH))
    assert finished.candidates_at(0) is None
    with pytest.raises(UserError, match="has no round 8"):
        finished.candidates_at(ROUNDS + 1)
    shapes = finished.shapes()
    assert shapes is not None
    assert shapes.candidates == 10
    size = (finished.path / files.CANDIDATES).stat().st_size
    assert size == (SEARCH + 1) * shapes.candidate_row.itemsize, "it does not grow after the search"


def test_by_hand_and_through_give_the_same_file(store: RunStore, finished: Run):
    run = store.create(finder_spec())
    for number in range(1, ROUNDS + 1):
        advance_to(run, number)
        # What a worker holds in memory is gone with it.
        progress._benches.clear()
    assert (run.path / files.CANDIDATES).read_bytes() == (finished.path / files.CANDIDATES).read_bytes()
    assert without_time(run.entries()) == without_time(finished.entries())


@pytest.mark.parametrize("whole", [True, False])
def test_what_a_kill_left_behind_is_not_shown_and_written_anew(
    store: RunStore, finished: Run, whole: bool, monkeypatch: pytest.MonkeyPatch
):
    run = store.create(finder_spec())
    advance_to(run, 1)
    shapes = run.shapes()
    assert shapes is not None
    row = shapes.candidate_row.itemsize
    content = (finished.path / files.CANDIDATES).read_bytes()
    with (run.path / files.CANDIDATES).open("ab") as file:
        file.write(content[2 * row : 3 * row] if whole else content[2 * row : 2 * row + 99])
    assert_same(run.candidates_at(1), found(1, SEARCH))

    class Killed(BaseException):
        """As hard as a signal: nothing below catches it."""

    def kill(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        # Between the row and the state that vouches for it.
        patched.setattr(journal, "_write_state", kill)
        with pytest.raises(Killed):
            advance_to(run, 2)
    assert_same(run.candidates_at(1), found(1, SEARCH))
    progress._benches.clear()
    advance_to(run, ROUNDS)
    assert (run.path / files.CANDIDATES).read_bytes() == content


def test_rounds_without_a_row_show_the_search_before(finished: Run):
    """Wherever the rounds of a search lie: a gap is a round without candidates."""
    shapes = finished.shapes()
    assert shapes is not None
    row = shapes.candidate_row.itemsize
    content = (finished.path / files.CANDIDATES).read_bytes()
    # Rounds 2 and 5 alone.
    rows = [bytes(row), bytes(row), content[2 * row : 3 * row], bytes(row), bytes(row), content[3 * row :]]
    (finished.path / files.CANDIDATES).write_bytes(b"".join(rows))
    assert finished.candidates_at(1) is None
    for number in (2, 3, 4):
        assert_same(finished.candidates_at(number), found(2, SEARCH))
    for number in (5, 6, 7):
        assert_same(finished.candidates_at(number), found(3, SEARCH))
    (finished.path / files.CANDIDATES).unlink()
    assert finished.candidates_at(7) is None


def test_a_damaged_row_gives_the_usual_sentence(finished: Run):
    path = finished.path / files.CANDIDATES
    shapes = finished.shapes()
    assert shapes is not None
    content, row = bytearray(path.read_bytes()), shapes.candidate_row
    assert row.fields is not None
    start = 3 * row.itemsize + row.fields["family"][1]
    content[start : start + 2] = b"\xff\xfe"
    path.write_bytes(content)
    with pytest.raises(UserError, match="is damaged"):
        finished.candidates_at(5)


def test_a_defence_that_does_not_search_keeps_nothing(store: RunStore, monkeypatch: pytest.MonkeyPatch):
    without = finder_spec(search=0, cut=2)
    run = store.create(without)
    advance_to(run, 2)
    assert run.candidates_at(2) is None
    # A run of before there was a search says nothing of candidates.
    values = files.read_json(run.path / files.SHAPES)
    assert values is not None
    del values["candidates"]
    files.write_json(run.path / files.SHAPES, values)
    assert run.shapes().candidates == 0
    assert run.candidates_at(2) is None
    monkeypatch.setattr(progress, "Searching", type("Nobody", (), {}))
    other = store.create(small_spec())
    advance_to(other, 1)
    assert other.shapes().candidates == 0
    assert other.candidates_at(1) is None
    assert not (other.path / files.CANDIDATES).exists()


@pytest.mark.parametrize(
    ("image", "portrait"),
    [((1, 28, 28), (28, 28, 1)), ((3, 64, 64), (64, 64, 3)), ((3, 224, 224), (64, 64, 3)), ((3, 96, 160), (38, 64, 3))],
)
def test_portraits_are_no_larger_than_they_are_shown(image: tuple[int, int, int], portrait: tuple[int, int, int]):
    classes = 43
    shapes = Shapes((("conv", 4),), image, classes, 8, Measures(0.9, None, None, 10, 0), candidates=PORTRAITS)
    assert shapes.portrait == portrait
    channels, height, width = image
    made = found(2, 3, PORTRAITS)
    # Left half black, right half white, whatever the size.
    half = torch.zeros(PORTRAITS, channels, height, width)
    half[..., width // 2 :] = 1
    made = Candidates(**{**vars(made), "labels": torch.arange(20, 20 + PORTRAITS), "portraits": half})
    stored = shapes.unpack_candidates(shapes.pack_candidates(journal._found(made, shapes)))
    assert stored is not None
    assert stored.portraits.shape == (PORTRAITS, *portrait)
    assert (stored.portraits[:, :, : portrait[1] // 2] == 0).all()
    assert (stored.portraits[:, :, portrait[1] // 2 :] == 255).all()
    assert stored.labels.tolist() == list(range(20, 32))
    assert Shapes.from_json(shapes.as_json()) == shapes


@pytest.mark.parametrize("by_hand", [False, True])
def test_views_are_measured_where_the_repair_changed_and_nowhere_else(
    store: RunStore, by_hand: bool, monkeypatch: pytest.MonkeyPatch
):
    measured, measure = [], Bench.measure

    def counted(bench: Bench, images: Any, repair: Repair, views: Any) -> Any:
        if len(views) == 2:
            measured.append(run.summary().round + 1)
        return measure(bench, images, repair, views)

    monkeypatch.setattr(Bench, "measure", counted)
    run = store.create(finder_spec())
    if by_hand:
        for number in range(1, ROUNDS + 1):
            advance_to(run, number)
            progress._benches.clear()
    else:
        store.go_on(run.id)
        while advance(run.path, Limits(rounds=3)) is Outcome.MORE:
            pass
    # Rounds 4 and 6 cut; before the first there is nothing to take over.
    assert measured == [1, 4, 6]
    views = [entry.views for entry in run.entries()]
    assert views[0] == views[1] == views[2]
    assert views[3] == views[4]
    assert views[5] == views[6]
    assert len({str(each) for each in views}) == 3
    bench = progress._bench(run)
    for number in range(1, ROUNDS + 1):
        repair = run.repair_at(number)
        fresh = measure(bench, bench.probe, repair, repair.views[1:])
        assert {view: views[number - 1].of(view) for view in fresh} == fresh, number


def test_unchanged_is_exact():
    mask, selection = torch.rand(2, 9, generator=torch.Generator().manual_seed(0))
    one = Gates(Masks(mask, selection))
    assert unchanged(one, Gates(Masks(mask.clone(), selection.clone())))
    other = mask.clone()
    other[3] = torch.nextafter(other[3], torch.tensor(2.0))
    assert not unchanged(one, Gates(Masks(other, selection)))
    assert not unchanged(one, Gates(Masks(mask, other)))
    assert not unchanged(one, Gates(Masks(mask, selection, steepness=21.0)))
    weights = Weights({"a": mask, "b": selection})
    assert unchanged(weights, Weights({"b": selection.clone(), "a": mask.clone()}))
    assert unchanged(Weights(), Weights())
    for values in ({"a": mask}, {"a": mask, "b": other}, {"a": mask, "c": selection}, {}):
        assert not unchanged(weights, Weights(values))
    assert not unchanged(one, weights)
