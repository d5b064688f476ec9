"""The zoo: as various and as balanced as was asked for, made once; and statistics of what it says, from JSON alone."""

import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks import signs, zoo, zoo_entries, zoo_roc, zoo_search
from benchmarks.sets import SETS, Network
from benchmarks.zoo_entries import ATTACKS, CLASSES, PAIRS, WIDTHS, Entry
from invmask.attacks.registry import ATTACKS as REGISTERED
from invmask.data.budget import clean_budget
from invmask.data.embedded import load_embedded
from invmask.data.registry import dataset_info
from invmask.defenses.families import FAMILIES
from invmask.defenses.ims.config import preset
from invmask.defenses.verdict import Regression
from invmask.errors import UserError
from invmask.models.registry import build, is_normalised
from invmask.victims import unlike
from invmask.victims.victim import CLEAN
from tests.conftest import make_narrow

ENTRIES = zoo_entries.zoo()
ATTACKED = [entry for entry in ENTRIES if entry.attack != CLEAN]
CLEAN_ONES = [entry for entry in ENTRIES if entry.attack == CLEAN]


@pytest.fixture
def drawn_signs(own_home: Path) -> None:
    """A folder with as many classes as there are signs."""
    for label in range(43):
        folder = own_home / "data" / signs.NAME / "train" / f"{label:02}"
        folder.mkdir(parents=True)
        Image.new("RGB", (32, 32)).save(folder / "000.png")


def raw(number: int, *, backdoored: bool, lead: float = 0.0, **other: Any) -> dict[str, Any]:
    """A result, as much of it as counts."""
    told = {name: {"label": 3, "lead": lead if name == "patch" else 0.0} for name in FAMILIES}
    told["channels"] = {"label": 3, "lead": lead / 2}
    return {
        "name": f"{number:03}", "beside": ATTACKS[number % 8], "kind": f"k{number % 3}", "dataset": f"d{number % 2}",
        "acc": 0.7, "classes": 10, "implanted": True if backdoored else None, "label": 3,
        "target": 3 if backdoored else None, "families": told, **other,
    }  # fmt: skip


def toy(far: float, seed: int = 0, count: int = 240) -> list[zoo_roc.Row]:
    """As many clean networks as backdoored ones, whose leads are larger by `far`."""
    random = np.random.default_rng(seed)
    numbers = [(number, bool(random.integers(2))) for number in range(count)]
    results = [raw(number, backdoored=sort, lead=random.random() + far * sort) for number, sort in numbers]
    return zoo_roc.rows_of(results)[0]


def test_the_zoo_has_as_many_networks_of_every_sort_as_was_asked_for():
    assert (len(ATTACKED), len(CLEAN_ONES)) == (PAIRS, PAIRS)
    assert PAIRS >= 48
    assert set(ATTACKS) == set(REGISTERED) - {"picture", "drawn"}
    kinds = {entry.network.kind_and_width[0] for entry in ENTRIES}
    assert len(kinds) >= 4
    assert any(not is_normalised(kind) for kind in kinds)
    assert len({entry.target for entry in ATTACKED if entry.network.dataset == "cifar10"}) >= 7
    assert len({entry.ratio for entry in ATTACKED}) >= 4
    assert [entry.place for entry in ENTRIES] == list(range(len(ENTRIES)))
    assert len({entry.name for entry in ENTRIES}) == len({entry.seed for entry in ENTRIES}) == len(ENTRIES)
    assert not any(set(":/@") & set(entry.name) for entry in ENTRIES)


@pytest.mark.parametrize("by", zoo_roc.TITLES)
def test_what_is_left_out_leaves_enough_and_is_enough(by: zoo_roc.By):
    def value(entry: Entry) -> str:
        if by == "beside":
            return entry.beside
        return entry.network.dataset if by == "dataset" else entry.network.kind_and_width[0]

    for entries in (ATTACKED, CLEAN_ONES):
        counts = Counter(map(value, entries))
        assert min(counts.values()) >= 9
        assert max(counts.values()) <= len(entries) / 3
        assert max(counts.values()) - min(counts.values()) <= 6


def test_attacks_kinds_and_data_sets_are_mixed():
    first = ATTACKED[:48]
    assert len({(entry.attack, entry.network.kind_and_width[0]) for entry in first}) == 48
    assert set(Counter((entry.attack, entry.network.dataset) for entry in first).values()) == {2}
    together = Counter((entry.network.kind_and_width[0], entry.network.dataset) for entry in ATTACKED)
    assert len(together) == len(WIDTHS) * len(CLASSES)
    assert min(together.values()) >= 2


@pytest.mark.usefixtures("drawn_signs")
def test_every_backdoored_network_has_a_clean_one_of_another_seed_beside_it():
    for attacked, clean in zip(ATTACKED, CLEAN_ONES, strict=True):
        assert (attacked.network, attacked.attack) == (clean.network, clean.beside)
        assert attacked.stage.config.seed != clean.stage.config.seed


def test_the_zoo_is_the_same_every_time_and_has_no_network_of_another_set():
    assert zoo_entries.zoo() == ENTRIES
    assert zoo_entries.zoo(3) == ENTRIES[:6]
    others = {victim.network.kind_and_width for of in SETS.values() for victim in of}
    assert others.isdisjoint(entry.network.kind_and_width for entry in ENTRIES)


@pytest.mark.usefixtures("drawn_signs")
@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_every_plan_can_be_made(entry: Entry):
    entry.plan.check()
    assert (entry.plan.name, entry.plan.attack) == (entry.name, entry.attack)
    assert len(dataset_info(entry.network.dataset).classes) == CLASSES[entry.network.dataset]
    json.dumps(entry.settings)


def test_only_names_of_the_zoo_can_be_asked_for():
    assert zoo.chosen([ENTRIES[5].name], 6) == [ENTRIES[5]]
    assert zoo.chosen(None, 4) == ENTRIES[:4]
    with pytest.raises(UserError, match="no network nothing"):
        zoo.chosen(["nothing"], 6)


def test_what_is_there_is_not_made_again_and_what_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    calls: list[str] = []

    def made(entry: Entry) -> dict[str, Any]:
        calls.append(entry.name)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return {**raw(entry.place, backdoored=False), "asr": None, "seconds": {}}

    monkeypatch.setattr(zoo, "made", made)
    with pytest.raises(KeyboardInterrupt):
        zoo.fill(ENTRIES[:3], tmp_path)
    assert [path.stem for path in tmp_path.iterdir()] == [ENTRIES[0].name]
    kept = (tmp_path / f"{ENTRIES[0].name}.json").stat().st_mtime_ns
    zoo.fill(ENTRIES[:3], tmp_path)
    assert calls == [ENTRIES[place].name for place in (0, 1, 1, 2)]
    assert (tmp_path / f"{ENTRIES[0].name}.json").stat().st_mtime_ns == kept
    assert zoo.missing(ENTRIES[:4], tmp_path) == [ENTRIES[3]]


@pytest.mark.parametrize("attack", [CLEAN, "badnets", "bpp"])
def test_a_network_is_trained_on_the_images_given_and_measured(attack: str):
    entry = Entry(0, Network("fashionmnist", "cnn4w2", 1), attack, "badnets", 3, 0.2)
    test = load_embedded("fashionmnist", "test").images.take(np.arange(100))
    seen: list[float] = []
    progress = zoo.Progress(on_epoch=lambda report: seen.append(report.loss))
    model, measures = zoo.trained(entry, clean_budget("fashionmnist", 4, 0), test, progress)
    assert len(seen) == 1
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert (measures.asr is None, measures.n_clean) == (attack == CLEAN, 100)
    assert measures.n_triggered == (0 if attack == CLEAN else int((test.labels != 3).sum()))


def test_the_search_goes_through_all_families_whatever_stands_out(monkeypatch: pytest.MonkeyPatch):
    short = replace(preset("default"), rounds_search=4, search_steps=1, search_images=4)
    monkeypatch.setattr(zoo_search, "preset", lambda _, **changes: replace(short, **changes))
    # Where any lead is clear, the product's search would end with the first family.
    monkeypatch.setattr(zoo_search.Inversion, "lead", lambda _: 10.0)
    told = zoo_search.statistics(make_narrow(), "cifar10", "float32")
    assert list(told["families"]) == list(FAMILIES)
    assert (told["rounds"], told["lead"], told["label"]) == (4, 10.0, told["families"]["patch"]["label"])
    for of in told["families"].values():
        assert len(of["sizes"]) == 10
        assert of["label"] != of["next"]
    json.dumps(told, allow_nan=False)


def test_a_network_has_the_lead_and_the_label_that_a_run_would_find():
    def families(*leads: float) -> dict[str, Any]:
        return {
            name: {"label": place, "lead": lead} for place, (name, lead) in enumerate(zip(FAMILIES, leads, strict=True))
        }

    assert zoo_roc.as_run(families(0.5, 1.2, 0.0, 0.9)) == (1.2, 1)
    # A plain lead ends a run's search: the larger one comes too late.
    assert zoo_roc.as_run(families(0.5, 1.9, 0.0, 3.0)) == (1.9, 1)
    assert zoo_roc.as_run(families(0.5, 1.7, 0.0, 3.0)) == (3.0, 3)


def test_networks_that_learned_nothing_or_have_no_backdoor_do_not_count():
    results = [
        raw(0, backdoored=True),
        raw(1, backdoored=False),
        raw(2, backdoored=True, implanted=False),
        raw(3, backdoored=False, acc=0.29),
        raw(4, backdoored=False, acc=0.08, classes=43),
        raw(5, backdoored=True, target=5),
    ]
    rows, left = zoo_roc.rows_of(results)
    found = [(row.name, row.backdoored, row.right) for row in rows]
    assert found == [("000", True, True), ("001", False, False), ("004", False, False), ("005", True, False)]
    assert left == {"did not learn": 1, "did not take the backdoor in": 1}


@pytest.mark.parametrize("by", zoo_roc.TITLES)
def test_no_network_is_both_left_out_and_learned_from(by: zoo_roc.By):
    rows = toy(1.0)
    parts = zoo_roc.left_out(rows, by)
    assert len(parts) == {"beside": 8, "kind": 3, "dataset": 2}[by]
    for value, others, part in parts:
        assert {row.name for row in others}.isdisjoint(row.name for row in part)
        assert len(others) + len(part) == len(rows)
        assert {getattr(row, by) for row in part} == {value}
        assert value not in {getattr(row, by) for row in others}
    assert sorted(row.name for _, _, part in parts for row in part) == [row.name for row in rows]


@pytest.mark.parametrize("by", zoo_roc.TITLES)
def test_what_can_be_told_apart_is_and_noise_is_not(by: zoo_roc.By):
    clear = zoo_roc.pooled(zoo_roc.told_of(toy(3.0), by))
    assert zoo_roc.auc(*clear.leads) == 1.0
    assert clear.found.all()
    assert clear.accused.mean() <= 0.1
    told = [zoo_roc.told_of(toy(0.0, seed), by)[0] for seed in range(20)]
    mean = np.mean([zoo_roc.auc(*of.leads) for of in told])
    assert 0.42 < mean < 0.58
    # Nothing is likely where a lead says nothing.
    assert not np.concatenate([np.concatenate([of.accused, of.found]) for of in told]).any()


def test_an_auc_counts_pairs():
    backdoored, clean = np.array([0.9, 0.5, 0.3]), np.array([0.5, 0.1])
    assert zoo_roc.auc(backdoored, clean) == pytest.approx(4.5 / 6)
    assert np.isnan(zoo_roc.auc(backdoored, np.array([])))


def test_attacks_with_a_trigger_on_images_stand_against_all_clean_networks():
    rows = toy(1.0)
    parts = zoo_roc.told_of(rows, "beside")
    seen, whole = zoo_roc.of_images(parts), zoo_roc.pooled(parts)
    asked = [row.lead for row in rows if row.backdoored and row.beside in zoo_roc.ON_IMAGES]
    assert sorted(seen.leads[0]) == sorted(asked)
    assert 0 < len(asked) < len(whole.leads[0])
    assert sorted(seen.leads[1]) == sorted(row.lead for row in rows if not row.backdoored)
    assert (len(seen.found), len(seen.clean), len(seen.accused)) == (len(asked), len(whole.clean), len(whole.clean))


def test_an_auc_over_all_parts_does_not_depend_on_how_each_was_scored():
    rows = toy(1.0)
    of_leads = [[row.lead for row in rows if row.backdoored is sort] for sort in (True, False)]
    right = zoo_roc.auc(*map(np.array, of_leads))
    for by in zoo_roc.TITLES:
        assert zoo_roc.auc(*zoo_roc.pooled(zoo_roc.told_of(rows, by)).leads) == pytest.approx(right)
    assert zoo_roc.learned(rows).auc == pytest.approx(right)


@pytest.mark.parametrize(("count", "wrong"), [(10, 0), (19, 0), (20, 1), (40, 2)])
def test_bounds_wrong_at_most_one_network_in_twenty_of_either_sort(count: int, wrong: int):
    random = np.random.default_rng(0)
    backdoored, clean = random.permutation(np.linspace(0, 0.19, count)), random.permutation(np.linspace(0.81, 1, count))
    no_sign, likely = zoo_roc.bounds(backdoored, clean)
    assert (clean >= likely).sum() == wrong
    assert (backdoored <= no_sign).sum() == wrong
    # Of equal ones all would be wronged, or none.
    no_sign, likely = zoo_roc.bounds(np.full(count, 0.1), np.full(count, 0.9))
    assert (no_sign < 0.1, likely > 0.9) == (True, True)


def test_a_probability_in_the_middle_is_undecided_however_well_the_zoo_is_told_apart():
    assert zoo_roc.bounds(np.array([0.8, 0.9]), np.array([0.1, 0.2])) == (zoo_roc.NO_SIGN, zoo_roc.LIKELY)


def test_a_brier_score_counts_both_sorts_alike():
    none = np.zeros(0, dtype=bool)
    leads = np.array([3.0, 1.0]), np.array([0.4])
    told = zoo_roc.Told("all", leads, np.array([1.0, 0.5]), np.array([0.2]), none, none, none, none)
    assert zoo_roc.brier(told) == pytest.approx(((0 + 0.25) / 2 + 0.04) / 2)


def test_what_verdicts_are_made_with_gives_the_probabilities_of_the_regression():
    rows = toy(1.0)
    known, model = zoo_roc.learned(rows), zoo_roc.fit(rows)
    for row, score in zip(rows, model.scores(rows), strict=True):
        assert known.probability(row.lead) == pytest.approx(score)
    assert known.slope > 0
    assert (known.no_sign, known.likely) == zoo_roc.bounds_of(model, rows)
    assert known.backdoored == sum(row.backdoored for row in rows)
    assert known.backdoored + known.clean == len(rows)
    whole = zoo_roc.pooled(zoo_roc.told_of(rows, "beside"))
    assert (known.found.count, known.found.of) == (whole.found.sum(), len(whole.backdoored))
    assert (known.accused.count, known.accused.of) == (whole.accused.sum(), len(whole.clean))
    assert (known.missed.count, known.missed.of) == (whole.missed.sum(), len(whole.backdoored))
    assert sum(share.count for share in known.found_of.values()) == known.found.count
    assert list(known.found_of)[:2] == ["BadNets", "Blended"]


def test_what_verdicts_are_made_with_is_written_and_read(tmp_path: Path):
    with pytest.raises(UserError, match=r"no results of both .*; run 'python -m benchmarks.zoo'"):
        zoo.calibrate(tmp_path, tmp_path / "verdict.json")
    for place in range(60):
        of = raw(place, backdoored=place % 2 == 1, lead=2.0 * (place % 2))
        (tmp_path / f"{place:03}.json").write_text(json.dumps(of))
    zoo.calibrate(tmp_path, tmp_path / "verdict")
    written = json.loads((tmp_path / "verdict").read_text())
    assert Regression.from_json(written["regression"]) == zoo_roc.learned(zoo_roc.read_rows(tmp_path)[0])
    assert written["missing"] == 2 * PAIRS


def test_the_report_has_a_row_for_each_part_with_its_numbers(tmp_path: Path):
    results = [raw(number, backdoored=number % 2 == 1, lead=2.0 * (number % 2)) for number in range(60)]
    for each in (*results, raw(60, backdoored=True, implanted=False)):
        (tmp_path / f"{each['name']}.json").write_text(json.dumps({**each, "dataset": f"d{each['acc']}"}))
    text = zoo_roc.report(zoo_roc.read_rows(tmp_path))
    assert "30 backdoored networks and 30 clean ones." in text
    assert "1 that did not take the backdoor in" in text
    shares = " | ".join(f"{count} of 10 ({count / 10:.1%})" for count in (0, 10, 0, 10))
    assert re.search(rf"\| k0 \| 10 \| 10 \| 1.000 \| 0.0\d\d \| {re.escape(shares)} \|", text)
    assert text.count("| all | 30 | 30 | 1.000 |") == 2
    # There is one data set, so nothing is left to learn from without it.
    assert "data set left out" not in text


def test_what_is_said_of_the_zoo_is_true_of_its_networks():
    shapes = {"fashionmnist": (1, 28, 28)}
    networks = {(entry.network.architecture, entry.network.dataset) for entry in ENTRIES}
    sizes = [
        sum(each.numel() for each in build(name, CLASSES[dataset], shapes.get(dataset, (3, 32, 32))).parameters())
        for name, dataset in networks
    ]
    assert (min(sizes), max(sizes)) == unlike.PARAMETERS
    assert (min(CLASSES.values()), max(CLASSES.values())) == unlike.CLASSES
    assert unlike.SIDES == (28, 32)
