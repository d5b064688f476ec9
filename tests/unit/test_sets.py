"""The protocol: three sets that share nothing, a split of the test images, and a table made from the cases' JSON."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from benchmarks import heldout, heldout_table, results_tables, sets, signs, split, unlike
from benchmarks.sets import HELD_OUT, PROXIES, SETS, TUNED_ON, VALIDATION, Network, Victim, twins_of
from benchmarks.triggers import TRIGGERS, WHITE_SQUARE
from invmask import settings
from invmask.attacks.registry import make_attack
from invmask.attacks.triggers.picture import PictureTrigger
from invmask.data.budget import probe
from invmask.data.embedded import load_embedded
from invmask.grids.grid import Case
from invmask.grids.results import CaseResult
from invmask.models.registry import ARCHITECTURES, split_width
from invmask.runs.store.spec import PROBE_PER_CLASS
from invmask.settings import ASSETS, BENCHMARKS
from invmask.victims.make import Plan
from invmask.victims.victim import CLEAN, VictimCard, find_cards, load_victim, read_card, save_victim, versions
from tests.conftest import make_narrow
from tests.unit.run_helpers import small_spec, taken

ALL = {victim.name: (name, victim) for name, of in SETS.items() for victim in (*of, *twins_of(of))}
KEPT = {path.stem: path for name in SETS for path in (BENCHMARKS / "victims" / name).glob("*.json")}
TINY = Network("cifar10", "preactresnet18w2", 1)


@pytest.fixture
def drawn_signs(own_home: Path) -> None:
    """A folder with as many classes as there are signs: the pictures are made where victims are trained."""
    for label in range(43):
        folder = own_home / "data" / signs.NAME / "train" / f"{label:02}"
        folder.mkdir(parents=True)
        Image.new("RGB", (32, 32)).save(folder / "000.png")


def tuned_plans() -> list[Plan]:
    """What the victims of TUNED_ON are, those that do not come along by the benchmark that trains them."""
    cards = find_cards([ASSETS / "victims", BENCHMARKS / "victims"])
    planned = {plan.name: plan for plan in unlike.PLANS}
    found = []
    for name in TUNED_ON:
        if name in cards:
            card = read_card(cards[name])
            target = card.target_label if card.target_label is not None else -1
            found.append(Plan(card.dataset, card.architecture, card.attack, 0.1, target, settings=card.attack_settings))
        else:
            found.append(planned[name])
    return found


def network_of(architecture: str) -> tuple[str, int]:
    kind, width = split_width(architecture)
    return kind, width or ARCHITECTURES[kind].width


def settings_of(plan: Plan) -> str:
    attack = plan.make_attack()
    assert attack is not None
    return json.dumps(attack.settings(), sort_keys=True)


def traits(plans: list[Plan]) -> dict[str, set[Any]]:
    """What no two sets may have in common."""
    attacked = [plan for plan in plans if plan.attack != CLEAN]
    return {
        "networks": {network_of(plan.architecture) for plan in plans},
        "targets": {plan.target_label for plan in attacked},
        "triggers": {(plan.attack, settings_of(plan)) for plan in attacked},
        "names": {plan.name for plan in plans},
    }


@pytest.mark.usefixtures("drawn_signs")
def test_no_set_has_a_network_a_trigger_or_a_target_of_another():
    plans = {name: [victim.plan for victim in (*of, *twins_of(of))] for name, of in SETS.items()}
    found = [traits(of) for of in (tuned_plans(), *plans.values())]
    assert len(found) == 3
    for trait in found[0]:
        seen = Counter(value for of in found for value in of[trait])
        assert [value for value, count in seen.items() if count > 1] == [], trait
        assert all(of[trait] for of in found)


@pytest.mark.usefixtures("drawn_signs")
def test_no_proxy_has_a_network_a_trigger_or_a_target_of_the_held_out_set():
    proxies, held_out = (traits([victim.plan for victim in of]) for of in (PROXIES, SETS[HELD_OUT]))
    for trait, values in proxies.items():
        assert not values & held_out[trait], trait


def test_every_victim_that_comes_along_counts_as_tuned_on():
    come_along = set(find_cards([ASSETS / "victims", BENCHMARKS / "victims"]))
    assert come_along | {plan.name for plan in unlike.PLANS} == set(TUNED_ON)


def test_the_held_out_set_is_as_various_as_was_asked_for():
    held_out = SETS[HELD_OUT]
    assert len({victim.network for victim in held_out}) >= 8
    assert len({victim.network.kind_and_width[0] for victim in held_out}) >= 5
    assert min(victim.ratio for victim in held_out) == 0.01
    assert max(victim.ratio for victim in held_out) == 0.33
    assert len({victim.network for of in SETS.values() for victim in of}) >= 12
    assert len(SETS[VALIDATION]) == 6
    assert all(len(victim.twins) >= 2 and set(victim.twins) <= set(ALL) for of in SETS.values() for victim in of)


@pytest.mark.usefixtures("drawn_signs")
@pytest.mark.parametrize("name", ALL)
def test_every_victim_can_be_made(name: str):
    _, victim = ALL[name]
    victim.plan.check()
    assert victim.plan.name == name
    assert victim.network.stage(victim.seed).config.seed == victim.seed
    assert ":" not in name


@pytest.mark.parametrize("name", [name for name, trigger in TRIGGERS.items() if trigger.draw is not None])
def test_a_picture_is_what_the_script_draws_and_lies_where_it_says(name: str):
    trigger = TRIGGERS[name]
    assert trigger.draw is not None
    drawn, stored = trigger.draw(), np.asarray(Image.open(trigger.path).convert("RGBA"))
    assert np.array_equal(drawn[..., 3], stored[..., 3])
    seen = drawn[..., 3] > 0
    assert np.array_equal(drawn[seen], stored[seen]) == (trigger.lead_to is None)
    attack = make_attack(trigger.attack, trigger.attack_settings())
    # On black and on white.
    images = torch.tensor([0.0, 1.0]).reshape(2, 1, 1, 1).expand(2, 3, trigger.side, trigger.side)
    changed = (attack.apply(images) != images).any(1).any(0).nonzero()
    assert len(changed) == seen.sum()
    for axis, (margin, corner) in enumerate(zip(trigger.margin, trigger.corner, strict=True)):
        if drawn.shape[axis] < trigger.side:
            first, last = int(changed[:, axis].min()), int(changed[:, axis].max())
            assert (trigger.side - 1 - last if corner else first) == margin
    assert isinstance(attack, PictureTrigger)


@pytest.mark.usefixtures("drawn_signs")
def test_every_kept_victim_is_the_one_that_was_planned():
    # Of a clone without them there is nothing to hold to the plan.
    for name in sorted(KEPT):
        check_kept(name)


def check_kept(name: str) -> None:
    set_name, victim = ALL[name]
    path, plan = KEPT[name], victim.plan
    card = load_victim(name, [path.parent]).card
    assert path.parent.name == set_name
    assert (card.dataset, card.architecture, card.attack) == (plan.dataset, plan.architecture, plan.attack)
    assert card.training["stages"][0]["seed"] == victim.seed
    if victim.trigger is not None:
        assert (card.poisoning_ratio, card.target_label) == (plan.poisoning_ratio, plan.target_label)
        assert card.make_attack() is not None
        assert {key: card.attack_settings[key] for key in plan.settings} == plan.settings
    weights = load_file(path.with_suffix(".safetensors")).values()
    assert {tensor.dtype for tensor in weights} <= {torch.float16, torch.int64}


def test_kept_victims_are_small_and_nobody_finds_them_by_chance():
    assert sum(path.stat().st_size for name in SETS for path in (BENCHMARKS / "victims" / name).glob("*")) < 12_000_000
    assert find_cards(settings.victim_folders()).keys().isdisjoint(ALL)


@pytest.mark.parametrize(("dataset", "classes"), [("cifar10", 10), ("fashionmnist", 10)])
def test_the_split_is_disjoint_and_whole_and_what_runs_show_is_no_part_of_the_tables(dataset: str, classes: int):
    tuning, others = split.tuning_places(dataset), split.other_places(dataset)
    assert (len(tuning), len(others)) == (500, 1_500)
    assert set(tuning.tolist()) | set(others.tolist()) == set(range(2_000))
    assert np.bincount(split.tuning_images(dataset).labels).tolist() == [50] * classes
    assert np.bincount(split.other_images(dataset).labels).tolist() == [150] * classes
    shown = {image.tobytes() for image in probe(dataset, PROBE_PER_CLASS).pixels}
    assert shown <= {image.tobytes() for image in split.tuning_images(dataset).pixels}
    assert not shown & {image.tobytes() for image in split.other_images(dataset).pixels}


def test_the_split_stays_as_it_is():
    assert [int(split.tuning_places(of).sum()) for of in ("cifar10", "fashionmnist")] == [126_487, 126_656]


def view(acc: float, asr: float | None = None, ra: float | None = None) -> dict[str, Any]:
    return {"acc": acc, "asr": asr, "ra": ra}


def found(label: int, lead: float) -> dict[str, Any]:
    """Notes of a search."""
    return {"label": label, "lead": lead, "family": "patch", "stands out": True, "leads": {"patch": lead}}


def case(place: int = 0, seed: int = 0, asr: float = 0.02, acc: float = 0.78, ra: float = 0.7, **other: Any) -> Any:
    """One that passes everything, unless something is said."""
    views = {"original": view(0.8, 0.99, 0.01), "pruned": view(acc, asr, ra), "inverse": view(0.3, 0.95, 0.1)}
    return {
        "victim": f"v{place}", "dataset": "cifar10", "architecture": "cnn4", "trigger": "square", "target": 3,
        "ratio": 0.1, "preset": "default", "seed": seed, "place": place, "problem": None, "views": views,
        "twins": {"one": view(0.8, 0.1, 0.76), "two": view(0.8, 0.1, 0.74)}, "notes": found(3, 0.5),
        **other,
    }  # fmt: skip


def twin(acc: float = 0.77, seed: int = 0) -> Any:
    views = {"original": view(0.8), "pruned": view(acc), "inverse": view(0.1)}
    return case(9, seed, victim="t", trigger=None, target=None, twins={}, notes={}, views=views)


def held(*cases: Any) -> list[tuple[int, int, bool]]:
    return [(of.held, of.cases, of.passed) for of in heldout_table.criteria(cases)]


def test_what_was_asked_for_counts_the_cases_that_hold():
    assert held(*(case(place) for place in range(8)), twin()) == [
        (8, 8, True),
        (8, 8, True),
        (8, 8, True),
        (1, 1, True),
    ]
    assert held() == [(0, 0, False)] * 4


@pytest.mark.parametrize(
    ("bad", "which"),
    [
        ({"asr": 0.1}, [0]),
        ({"acc": 0.749}, [0]),
        ({"ra": 0.669}, [1]),
        ({"views": {**case()["views"], "inverse": view(0.3, 0.8, 0.1)}}, [2]),
        ({"problem": "It failed.", "views": {}, "twins": {}}, [0, 1, 2]),
    ],
)
def test_one_bad_case_in_eight_is_borne_and_two_are_not(bad: dict[str, Any], which: list[int]):
    good = [case(place) for place in range(6)]
    for count, passed in ((1, True), (2, False)):
        cases = [*good, *(case(6 + place, **bad) for place in range(count)), *[case(8)] * (2 - count)]
        found = heldout_table.criteria([*cases, twin()])
        assert [of.held for of in found] == [8 - count if place in which else 8 for place in range(3)] + [1]
        # Two in eight are as many as one in four.
        assert [of.passed for of in found] == [passed or 0 not in which, True, True, True]


@pytest.mark.parametrize("edge", [{"acc": 0.75}, {"ra": 0.67}])
def test_what_is_just_at_the_limit_is_borne(edge: dict[str, float]):
    assert all(held_for == cases for held_for, cases, _ in held(case(**edge), twin(0.76)))


def test_no_clean_twin_may_lose_more_than_four_points():
    assert held(case(), twin(), twin(0.759, seed=1))[3] == (1, 2, False)


def test_the_table_has_a_row_for_each_victim_with_what_was_found():
    wrong = case(1, 1, notes=found(5, 1.5))
    text = heldout_table.table([wrong, case(1, 0, asr=0.04), twin(), twin(0.78, 1), case(0)])
    rows = [line for line in text.splitlines() if line.startswith(("| cifar10", "| `t`"))]
    assert rows[0] == (
        "| cifar10 `cnn4` | square | 3 | 10 % | 80.0 / 99.0 / 1.0 | 78.0 | 2.0 | 70.0 | 75.0 | 95.0 | 1 of 1 | 0.50 "
        "| patch | 1 of 1 |"
    )
    assert "| 3.0 ± 1.4 |" in rows[1]
    assert "| 1 of 2 | 1.00 ± 0.71 | patch | 2 of 2 |" in rows[1]
    assert rows[2] == "| `t` | 80.0 | 77.5 ± 0.7 | 3.0 | 2 of 2 |"
    assert "- clean twins lose at most 4 points of ACC: 2 of 2, aim all: reached" in text
    failed = heldout_table.table([case(problem="It failed.", views={}, twins={}, notes={})])
    assert "0 of 1, aim 87.5%: missed" in failed


def test_every_case_that_missed_something_is_listed_with_its_lead():
    cases = [case(0), case(1, asr=0.2), case(2, 1, ra=0.6), case(3, problem="It failed.", views={}, twins={}, notes={})]
    text = heldout_table.table([*cases, twin(0.5)])
    assert text.splitlines()[-4:] == [
        "| missed by | trigger | seed | lead | ACC lost | pruned ASR | RA below the twins' |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        "| `cnn4` | square | 0 | 0.50 | 2.0 | 20.0 | 5.0 |",
        "| `cnn4` | square | 1 | 0.50 | 2.0 | 2.0 | 15.0 |",
    ]
    assert "missed by" not in heldout_table.table([case(0)])


def tiny_card(victim: Victim) -> VictimCard:
    plan, backdoored = victim.plan, victim.trigger is not None
    return VictimCard(
        name=plan.name,
        dataset=plan.dataset,
        architecture=plan.architecture,
        attack=plan.attack,
        poisoning_ratio=victim.ratio,
        target_label=victim.target if backdoored else None,
        acc=0.1,
        asr=0.1 if backdoored else None,
        ra=0.1 if backdoored else None,
        n_test=100,
        attack_settings=plan.settings,
        versions=versions(),
    )


def test_a_case_is_measured_on_the_other_images_and_beside_its_twins(own_home: Path):
    victim = Victim(TINY, WHITE_SQUARE, 2, 0.1)
    for of in (victim, *TINY.twins()):
        save_victim(own_home / "victims", tiny_card(of), make_narrow(of.seed, width=2))
    run = taken(own_home, small_spec(victim.name), 2)
    result = CaseResult(
        **Case.here(victim.plan, "paper", 1, 0).description(), run=run.id, details={"notes": {"label": 2}}
    )
    raw = heldout.measured(victim, result)
    assert set(raw["views"]) == {"original", "pruned", "inverse"}
    assert {(of["n_clean"], of["n_triggered"]) for of in raw["views"].values()} == {(1_500, 1_350)}
    assert set(raw["twins"]) == set(victim.twins)
    assert len(victim.twins) == 2
    assert all(of["n_triggered"] == 1_350 for of in raw["twins"].values())
    assert (raw["trigger"], raw["target"], raw["notes"]) == ("white-square", 2, {"label": 2})
    failed = heldout.measured(victim, replace(result, run=None, problem="The run was deleted."))
    assert (failed["twins"], failed["views"], failed["problem"]) == ({}, {}, "The run was deleted.")


def test_the_table_says_what_the_verdicts_are():
    sure, unsure = found(3, 3.0), found(4, 0.0)
    cases = [case(notes=sure), case(1, notes=sure, target=5), case(2, notes=unsure)]
    said = heldout_table.table([*cases, {**twin(), "notes": unsure}])
    assert (
        "Of 3 cases with a backdoor the verdict calls 2 *likely backdoored*, 0 *undecided*, 1 *no sign*; "
        "the label ahead is the right one in 1. "
        "Of 1 clean twins it calls 0 *likely backdoored*, 0 *undecided*, 1 *no sign*. The AUC of the lead is 0.833."
    ) in said
    assert "the verdict calls" not in heldout_table.table([case(notes={}), twin()])


def test_every_complete_run_is_counted(tmp_path: Path):
    file = tmp_path / "summary.json"
    for _ in range(2):
        heldout.count_look(file, HELD_OUT, "default", [case(), twin()])
    told = json.loads(file.read_text())
    assert (told["set"], told["count"], len(told["looks"])) == (HELD_OUT, 2, 2)
    assert told["looks"][1]["asked_for"][0]["passed"] is True
    assert (told["looks"][1]["seeds"], told["looks"][1]["cases"]) == ([0], 2)
    (tmp_path / "one.json").write_text(json.dumps(case()))
    (tmp_path / "two.json").write_text(json.dumps(case(preset="adaptive")))
    assert [of["preset"] for of in heldout.read_raw(tmp_path)] == ["default"]


def test_a_victim_is_trained_once_kept_in_half_precision_and_given_to_every_home(
    own_home: Path, monkeypatch: pytest.MonkeyPatch
):
    victim, trained = Victim(TINY, WHITE_SQUARE, 2, 0.1), []

    def train(of: Victim, folder: Path) -> None:
        trained.append(of.name)
        save_victim(folder, tiny_card(of), make_narrow(width=2))

    monkeypatch.setitem(SETS, VALIDATION, (*SETS[VALIDATION], victim))
    images = load_embedded("cifar10", "test").images.take(np.arange(200))
    monkeypatch.setattr(sets, "_train", train)
    monkeypatch.setattr(sets, "load_dataset", lambda *_, **__: images)
    monkeypatch.setattr(settings, "BENCHMARKS", own_home / "benchmarks")
    order = [(name, of.seed) for name, of in sets.missing_of(SETS)]
    assert order[:18] == [(HELD_OUT, 0)] * 11 + [(VALIDATION, 0)] * 7
    assert [seed for _, seed in order[18:]] == sorted(seed for _, seed in order[18:])
    assert sets.provide(victim, VALIDATION)
    assert len(sets.missing_of(SETS)) == len(order) - 1
    monkeypatch.setenv("INVMASK_HOME", str(own_home / "another"))
    assert not sets.provide(victim, VALIDATION)
    assert trained == [victim.name]
    kept, given = own_home / "benchmarks" / "victims" / VALIDATION, own_home / "another" / "victims"
    assert sorted(path.name for path in kept.iterdir()) == sorted(path.name for path in given.iterdir())
    found = load_victim(victim.name, [given])
    exact = make_narrow(width=2).state_dict()
    for name, tensor in found.model.state_dict().items():
        torch.testing.assert_close(tensor, exact[name], rtol=1e-3, atol=1e-6)
    assert {of.dtype for of in load_file(given / f"{victim.name}.safetensors").values()} == {torch.float16, torch.int64}
    measured = sets.measure(found.model, images, found.card.make_attack(), found.card.targets)
    assert (found.card.acc, found.card.asr, found.card.ra) == (measured.acc, measured.asr, measured.ra)


def test_every_look_at_the_held_out_set_is_told_of() -> None:
    asked = [{"what": "pruned ASR under 10 %", "held": 25, "cases": 33}, {"what": "kept", "held": 18, "cases": 18}]
    first = {"date": "2026-11-30 11:19 UTC", "asked_for": asked}
    once = results_tables.looks_table([first])
    assert "Looks at this set so far: 1." in once
    assert "changed" not in once
    second = {"date": "2026-12-01 08:00 UTC", "asked_for": [{**asked[0], "held": 30}, asked[1]]}
    twice = results_tables.looks_table([first, second])
    assert "`default` was changed between them. The tables above are of look 2." in twice
    assert "| pruned ASR under 10 % | 25 of 33 | 30 of 33 |" in twice.splitlines()
    assert "| asked for | look 1, 2026-11-30 | look 2, 2026-12-01 |" in twice.splitlines()
