"""What the benchmarks keep: cases that were asked for and have today's settings, and victims, to be used again."""

import argparse
import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import psutil
import pytest

from benchmarks import beside, cases, defence, quality, results_tables, speed_table, unlike
from benchmarks.cases import keep, machines_of
from invmask import settings
from invmask.cli import sweep
from invmask.defenses.ims.config import preset
from invmask.errors import UserError
from invmask.grids.grid import Case
from invmask.grids.results import VIEWS, CaseResult, read_folder, write_case
from invmask.runs.store import living_process
from invmask.runs.work.bench import spec_of
from invmask.victims.make import Plan
from invmask.victims.victim import find_cards, load_victim
from tests.unit.run_helpers import VICTIM, write_victims

WAITING = "threads that wait as OpenMP has them"
PLAN = Plan("cifar10", "preactresnet18w2", "badnets")


def told(label: int, lead: float) -> dict[str, Any]:
    """Notes of a run whose search ended so."""
    return {"label": label, "lead": lead, "family": "patch", "stands out": lead >= 0.6, "leads": {"patch": lead}}


def write(folder: Path, case: Case, **unlike: float) -> None:
    views = {view: {"acc": 0.9} for view in VIEWS}
    details = {"settings": preset(case.preset, **{"seed": case.seed, **unlike}).as_json()}
    details = {"precision": case.precision, "device": case.device, **details}
    write_case(folder, case.name, CaseResult(**case.description(), views=views, details=details))


def test_cases_that_were_not_asked_for_or_have_other_settings_stay_where_they_are(own_home: Path):
    write_victims(own_home / "victims")
    asked = [Case.here(PLAN, "default", 10, seed) for seed in range(3)]
    source, results = own_home / "sweeps" / "some", own_home / "kept" / "some"
    write(source, asked[0])
    write(source, asked[1], steepness=7.0)
    write(source, Case.here(PLAN, "default", 2, 0))
    keep(asked, source, results)
    kept, problems = read_folder(results / "cases")
    assert problems == []
    assert [(case.victim, case.spc, case.seed) for case in kept] == [(VICTIM, 10, 0)]
    assert set(machines_of(results)) == {path.stem for path in (results / "cases").glob("*.json")}


def test_a_case_keeps_the_name_of_the_machine_that_it_was_made_on(own_home: Path, monkeypatch: pytest.MonkeyPatch):
    write_victims(own_home / "victims")
    asked = [Case.here(PLAN, "default", 10, seed) for seed in range(3)]
    source, results = own_home / "sweeps" / "some", own_home / "kept" / "some"
    for made, (machine, case) in enumerate(zip(("one", "another", "a third"), asked, strict=True)):
        monkeypatch.setattr(cases, "processor", lambda _, machine=machine: machine)
        write(source, case)
        keep(asked[: made + 1], source, results)
    # Made once more, with what it was found to be.
    write_case(source, asked[0].name, replace(read_folder(source)[0][0], seconds=3.0))
    keep(asked, source, results)
    assert list(machines_of(results).values()) == ["a third", "another", "a third"]


@pytest.fixture
def trained(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int | None]]:
    """A training that takes no time; the benchmarks' folder is beside the home."""
    calls: list[tuple[str, int | None]] = []

    def carry_out(plan: Plan, out: Path, epochs: int | None) -> None:
        calls.append((plan.name, epochs))
        write_victims(out)

    monkeypatch.setattr(sweep, "carry_out", carry_out)
    monkeypatch.setattr(settings, "BENCHMARKS", own_home / "benchmarks")
    return calls


def test_a_victim_is_trained_once_and_found_where_it_is_kept_ever_after(
    trained: list[tuple[str, int | None]], own_home: Path, monkeypatch: pytest.MonkeyPatch
):
    cases = [Case.here(PLAN, "default", 10, 0)]
    unlike.provide(cases)
    assert trained == [(VICTIM, unlike.EPOCHS)]
    monkeypatch.setenv("INVMASK_HOME", str(own_home / "another"))
    unlike.provide(cases)
    assert len(trained) == 1
    kept = own_home / "benchmarks" / "victims"
    assert find_cards(settings.victim_folders())[VICTIM] == kept / f"{VICTIM}.json"
    assert load_victim(VICTIM, [kept]).card.name == VICTIM


def test_a_victim_that_was_there_before_is_not_kept(trained: list[tuple[str, int | None]], own_home: Path):
    write_victims(own_home / "victims")
    unlike.provide([Case.here(PLAN, "default", 10, 0)])
    assert trained == []
    assert not (own_home / "benchmarks").exists()


@pytest.mark.usefixtures("trained")
def test_a_victim_that_cannot_be_trained_is_said_to_be_missing(own_home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sweep, "carry_out", Mock(side_effect=UserError("There is no such data set.")))
    with pytest.raises(UserError, match="no such data set"):
        unlike.provide([Case.here(PLAN, "default", 10, 0)])
    assert not (own_home / "benchmarks").exists()


def test_the_table_of_quality_takes_no_mean_over_two_precisions():
    def case(precision: str, seed: int, acc: float) -> dict[str, object]:
        shares = {"acc": acc, "asr": 0.1, "ra": 0.5}
        counts = {"rounds": 3, "selected": 2, "pruned_channels": 1}
        phases = [{"phase": "sparsify", "pruned": shares, "inverse": shares, **counts}]
        of = {"victim": "cifar10-cnn4-badnets", "preset": "paper", "spc": 10, "precision": precision, "seed": seed}
        return {**of, "original": shares, "phases": phases}

    alike = [case("float32", 0, 0.5), case("float32", 1, 0.7)]
    (row,) = (line for line in quality.make_table(alike).splitlines() if "| paper" in line)
    assert row.startswith("| badnets | paper, 10 | sparsify | 2 | 3 ± 0 | 60.0 ± ")
    rows = [line for line in quality.make_table([*alike, case("bfloat16", 0, 0.1)]).splitlines() if "| paper" in line]
    assert [row.split(" | ")[1:6:2] for row in rows] == [
        ["paper, 10, bfloat16", "1", "10.0"],
        ["paper, 10, float32", "2", "60.0 ± 14.1"],
    ]


def test_the_table_of_quality_says_what_the_search_found_and_measures_no_view_after_it():
    def case(victim: str, seed: int, label: int, lead: float) -> dict[str, object]:
        shares = {"acc": 0.9, "asr": 0.1, "ra": 0.5}
        phases = [
            {"phase": "search", "rounds": 12},
            {
                "phase": "minimise",
                "rounds": 8,
                "pruned": shares,
                "inverse": shares,
                "selected": 2,
                "pruned_channels": 1,
            },
        ]
        of = {"victim": victim, "preset": "default", "spc": 10, "precision": "float32", "seed": seed}
        return {**of, "original": shares, "phases": phases, "notes": told(label, lead)}

    victim = "cifar10-preactresnet18w16-badnets"
    lines = quality.make_table([case(victim, 0, 0, 1.5), case(victim, 1, 3, 0.25)]).splitlines()
    (row,) = (line for line in lines if "search" in line)
    assert row == "| badnets | default, 10 | search: right 1.50, none 0.25 | 2 | 12 ± 0 | | | | | | | |"
    assert len({line.count("|") for line in lines}) == 1


def test_what_was_measured_with_settings_of_another_version_is_not_done(own_home: Path):
    write_victims(own_home / "victims")
    spec, file = spec_of(VICTIM, "default", 10, 0), own_home / "case.json"
    assert not quality.is_done(file, spec)
    for config, done in ((spec.config, True), (replace(spec.config, steepness=7.0), False)):
        file.write_text(json.dumps({"config": config.as_json()}))
        assert quality.is_done(file, spec) is done
    file.write_text(json.dumps({"config": {**spec.config.as_json(), "pressure": 1.0}}))
    assert not quality.is_done(file, spec)


def test_the_target_of_a_victim_is_on_its_card_or_else_in_its_name():
    assert cases.target_of("cifar10-wideresnet16-blended-t7") == 7
    assert cases.target_of("folder:signs43@32-preactresnet18w16-badnets-t20") == 20
    assert cases.target_of("cifar10-preactresnet18w16-badnets-p5") == 0
    assert cases.target_of("cifar10-preactresnet18w16-clean") is None


def test_a_defence_that_hangs_is_cut_off_and_nothing_of_it_stays(own_home: Path):
    told = own_home / "pid"
    assert beside.seconds(["bash", "-c", f"sleep 300 & echo $! > {told}; wait"], {}, limit=3) is None
    child = int(told.read_text())
    assert not living_process.lives(child, living_process.began(child))
    assert beside.seconds([sys.executable, "-c", "pass"], {}, limit=60) is not None
    with pytest.raises(RuntimeError, match="some words"):
        beside.seconds([sys.executable, "-c", "raise SystemExit('some words')"], {}, limit=60)


def test_the_environment_of_a_timed_defence_is_the_setting_s_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("GOMP_SPINCOUNT", "0")
    said = "__import__('os').environ"
    check = f"assert {said}.get('GOMP_SPINCOUNT') == '7' and 'OMP_NUM_THREADS' not in {said}"
    assert beside.seconds([sys.executable, "-c", check], beside.setting("7"), limit=60) is not None


def test_processes_beside_a_defence_end_with_it():
    with beside.beside([beside.BUSY] * 2):
        deadline, children = time.monotonic() + 30, []
        # On a busy machine a child shows its command only after a while.
        while len(children) < 2 and time.monotonic() < deadline:
            children = [child.pid for child in psutil.Process().children() if child.cmdline() == beside.BUSY]
        assert len(children) == 2
        assert {os.getsid(pid) for pid in children} == set(children)
    assert not any(map(psutil.pid_exists, children))


def test_a_defence_that_was_cut_off_counts_as_the_longest():
    few = beside.summary([9.0, None, 7.0], limit=45)
    assert (few["median"], few["least"], few["most"], few["cut_off"]) == (9.0, 7.0, 45, 1)
    assert beside.summary([9.0, None, None], limit=45)["median"] is None
    assert beside.summary([9.0, None], limit=45)["median"] is None


def test_a_table_says_what_other_processes_cost_before_and_now():
    def reading(setting: str, load: str, each: list[float | None], rounds: int | None = 8) -> dict[str, Any]:
        return {"victim": "some", "rounds": rounds, "load": load, "setting": setting, **beside.summary(each, 45)}

    readings = [
        reading("before", "one niced process", [None, None]),
        reading("after", "one niced process", [7.0, 8.0]),
        reading("passive", "one niced process", [6.0, 6.0]),
        reading("before", "idle", [5.0, None, 6.0], rounds=None),
    ]
    assert speed_table.beside_rows({"readings": readings}) == [
        (
            "8 rounds of `some`, beside one niced process",
            f"{WAITING}: not done in 45 s (n = 2); as invmask has them: median 7.5 (7.0 to 8.0) s (n = 2)",
        ),
        (
            "whole defence of `some`, idle",
            f"{WAITING}: median 5.5 (5.0 to 6.0) s, 1 not done in 45 s (n = 3)",
        ),
    ]


def write_one(
    folder: Path, preset: str, attack: str, spc: int, asr: float | None, ra: float | None, notes: dict[str, Any] | None
) -> None:
    victim = f"cifar10-preactresnet18w16-{attack}"
    measures: dict[str, float | None] = {"acc": 0.9, "asr": asr, "ra": ra}
    details = {} if notes is None else {"notes": notes}
    details = {"precision": "float32", "device": "cpu", "threads": 1, **details}
    views = dict.fromkeys(VIEWS, measures)
    case = CaseResult(victim, "cifar10", "w", attack, 0.1, preset, spc, 0, views=views, details=details)
    write_case(folder / "cases", f"{attack}-{preset}-{spc}", case)


def test_a_table_says_which_cases_fall_short_and_what_the_search_found_for_each_preset(tmp_path: Path):
    write_one(tmp_path, "default", "wanet", 1, 0.523, 0.1, told(3, 0.7))
    write_one(tmp_path, "default", "sig", 1, 0.05, 0.7, told(2, 0.3))
    write_one(tmp_path, "default", "sig", 10, 0.05, 0.7, told(0, 1.2))
    write_one(tmp_path, "default", "badnets", 1, 0.1, 0.76, told(0, 1.4))
    write_one(tmp_path, "default", "clean", 1, None, None, told(5, 0.2))
    write_one(tmp_path, "paper", "badnets", 10, 0.2, 0.8, {"rounds without progress": 3})
    write_one(tmp_path, "paper", "bpp", 10, 0.0, 0.8, None)
    short, published = results_tables.shortfalls(tmp_path).split("\n\n")
    assert short == (
        "`default`, 4 attacked cases. ASR is over 10 % in 1 (wanet, SPC 1, seed 0: 52.3 %). "
        "RA is more than 15 points under the victim's ACC in 2 others (2 sig; 1 at SPC 1, 1 at SPC 10). "
        "In the 1 over 10 % the search found the right label in 0, a wrong one in 1, none in 0. "
        "In the 2 others the search found the right label in 1, a wrong one in 0, none in 1. "
        "In the 1 that do not fall short the search found the right label in 1, a wrong one in 0, none in 0."
    )
    assert published == (
        "`paper`, 2 attacked cases. ASR is over 10 % in 1 (badnets, SPC 10, seed 0: 20.0 %). "
        "RA is more than 15 points under the victim's ACC in 0 others."
    )


def test_a_table_says_what_the_search_found_in_every_case_where_there_was_one(tmp_path: Path):
    write_one(tmp_path, "default", "wanet", 1, 0.5, 0.1, told(3, 0.7))
    write_one(tmp_path, "default", "wanet", 10, 0.5, 0.1, told(0, 2.0))
    write_one(tmp_path, "default", "clean", 1, None, None, told(5, 0.2))
    # Of before there was a search.
    write_one(tmp_path, "default", "badnets", 10, 0.1, 0.8, {"label": 0, "lead": 1.5})
    write_one(tmp_path, "paper", "badnets", 10, 0.2, 0.8, {"rounds without progress": 3})
    machines = {path.stem: "a machine" for path in (tmp_path / "cases").glob("*.json")}
    (tmp_path / "machines.json").write_text(json.dumps(machines))
    found = results_tables.sweep_table(tmp_path)
    assert found.count("What the search of") == 1
    assert found.partition("no label does.\n\n")[2].partition("\n\n")[0].splitlines() == [
        "| victim | SPC 1 | SPC 10 |",
        "| --- | --- | --- |",
        "| `cifar10-preactresnet18w16-badnets` |  | – |",
        "| `cifar10-preactresnet18w16-clean` | none 0.20 |  |",
        "| `cifar10-preactresnet18w16-wanet` | wrong 0.70 | right 2.00 |",
    ]


def test_a_defence_is_measured_in_turn_with_another_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    measured: list[Path] = []

    def one(_arguments: argparse.Namespace, _spc: int, _precision: str, checkout: Path) -> dict[str, float]:
        measured.append(checkout)
        return {"seconds": 6.0 if checkout == tmp_path else 2.0}

    monkeypatch.setattr(defence, "_one", one)
    arguments = argparse.Namespace(times=2, victim="v", preset="default", before=tmp_path)
    found = defence.measure(arguments, 10, "float32")
    assert measured == [defence.ROOT, tmp_path] * 2
    assert (found["median_seconds"], found["before"]["median_seconds"]) == (2, 6)
    assert found["before / now"] == [3, 3]
    assert found["before"]["commit"] == ""
    alone = defence.measure(argparse.Namespace(**{**vars(arguments), "before": None}), 10, "float32")
    assert "before" not in alone
