"""How well a preset defends networks that it was never tuned on: SPC 10, three seeds, and their clean twins, one.

The held-out set is run once, at the end; each complete run is counted in results/heldout/summary.json under `looks`, so
that a second one is seen. The validation set, to choose between finished candidates, is run in the same way. What is
missing of the victims is trained first; cases that are done are skipped. Measured is on the test images that no choice
was made on (`benchmarks.split`): ACC, ASR and RA of each view, and the RA of the clean twins on the very same images:

    python -m benchmarks.heldout
    python -m benchmarks.heldout --set-name validation
    python -m benchmarks.heldout --table
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks import sets, split
from benchmarks.checkout import commit
from benchmarks.heldout_table import Raw, criteria, table
from benchmarks.sets import HELD_OUT, SETS, Victim
from invmask import disk, settings
from invmask.cli.runs import store
from invmask.cli.sweep import file_of, is_done, run_cases
from invmask.errors import UserError
from invmask.grids.grid import Case
from invmask.grids.results import CaseResult, read_case
from invmask.machine import processor
from invmask.masks.repair import Gates
from invmask.masks.state import GATED, MaskLayout, Masks, View
from invmask.runs.work.bench import ProbeImages, make_bench, measure_views
from invmask.victims.victim import load_victim, versions

RESULTS = Path(__file__).parent / "results"
SUMMARY = "summary"
SPC = 10


def main() -> None:
    """Defend what is not done yet, measure, count the look, print the table and what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set-name", choices=list(SETS), default=HELD_OUT)
    parser.add_argument("--preset", default="default")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--at-once", type=int, default=2, help="runs at once, of one thread each")
    parser.add_argument("--table", action="store_true", help="print what is there, run nothing")
    asked = parser.parse_args()
    results = RESULTS / asked.set_name
    if asked.table:
        print(table(read_raw(results, asked.preset)))
        return
    os.environ.setdefault("INVMASK_THREADS", "1")
    os.environ.setdefault("INVMASK_WORKERS", str(asked.at_once))
    attacked = SETS[asked.set_name]
    victims = (*attacked, *sets.twins_of(attacked))
    sets.prepare(victims)
    for victim in victims:
        sets.provide(victim, asked.set_name)
    cases = {
        (place, seed): Case.here(victim.plan, asked.preset, SPC, seed)
        for place, victim in enumerate(victims)
        # A network has two clean twins: their spread is over networks, not over budgets.
        for seed in (asked.seeds if victim.trigger is not None else asked.seeds[:1])
    }
    folder = settings.sweeps_folder() / asked.set_name
    to_do = [case for case in cases.values() if not is_done(folder, case)]
    done = len(cases) - len(to_do)
    with tqdm(total=len(cases), initial=done, unit="case", file=sys.stderr, smoothing=0) as bar:
        run_cases(to_do, folder, asked.at_once, bar)
    results.mkdir(parents=True, exist_ok=True)
    found = []
    for (place, _), case in tqdm(cases.items(), desc="measuring", file=sys.stderr):
        result, file = read_case(file_of(folder, case)), results / f"{case.name}.json"
        known = json.loads(file.read_text()) if file.exists() else {}
        if known.get("run") != result.run or known.get("problem") is not None:
            known = measured(victims[place], result)
        # Where it stands in the set may change.
        found.append({**known, "place": place})
        disk.write_bytes(file, (json.dumps(found[-1], indent=1) + "\n").encode())
    count_look(results / f"{SUMMARY}.json", asked.set_name, asked.preset, found)
    print(table(found))


def read_raw(results: Path, preset: str = "default") -> list[Raw]:
    """All cases of a set under a preset."""
    found = [json.loads(path.read_text()) for path in sorted(results.glob("*.json")) if path.stem != SUMMARY]
    return [case for case in found if case["preset"] == preset]


def measured(victim: Victim, result: CaseResult) -> Raw:
    """A case as JSON: what it is, how its run ended, and the views on the images that no choice was made on."""
    raw: Raw = {
        "victim": victim.name,
        "dataset": victim.network.dataset,
        "architecture": victim.network.architecture,
        "trigger": victim.trigger.name if victim.trigger is not None else None,
        "target": victim.target if victim.trigger is not None else None,
        "ratio": victim.ratio,
        "defense": result.defense,
        "preset": result.preset,
        "spc": result.spc,
        "seed": result.seed,
        "run": result.run,
        "problem": result.problem,
        "seconds": result.seconds,
        "machine": processor(settings.device()),
        "commit": commit(),
        "notes": {},
        "views": {},
        "twins": {},
        **result.details,
    }
    if result.problem is not None or result.run is None:
        return raw
    run = store().run(result.run)
    bench, images = make_bench(run.spec(), settings.victim_folders()), split.other_images(victim.network.dataset)
    probe = ProbeImages.of(images, bench.victim, bench.spec.device)
    repair = run.repair_at(run.summary().round)
    views = bench.measure(probe, repair, GATED)
    raw["views"] = {view.value: asdict(measures) for view, measures in views.items()}
    if victim.trigger is not None:
        raw["twins"] = {name: of_twin(name, probe, bench.spec.precision) for name in victim.twins}
    return raw


def of_twin(name: str, images: ProbeImages, precision: Any) -> dict[str, Any]:
    """What an undefended clean twin makes of the images that a victim's attacker sends."""
    model = load_victim(name, settings.victim_folders()).model
    untouched = Gates(Masks.initial(MaskLayout.of(model)))
    return asdict(measure_views(model, untouched, (View.ORIGINAL,), images, precision)[View.ORIGINAL])


def count_look(file: Path, set_name: str, preset: str, cases: Sequence[Raw]) -> None:
    """Add a complete run to the set's summary: when, of what, and what came of it."""
    looks = json.loads(file.read_text())["looks"] if file.exists() else []
    asked_for = [{**asdict(criterion), "passed": criterion.passed} for criterion in criteria(cases)]
    look = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "preset": preset,
        "seeds": sorted({case["seed"] for case in cases}),
        "cases": len(cases),
        "without_result": sum(case["problem"] is not None for case in cases),
        "commit": commit(),
        "machine": processor(settings.device()),
        "versions": versions(),
        "asked_for": asked_for,
    }
    told = {"set": set_name, "count": len(looks) + 1, "looks": [*looks, look]}
    disk.write_bytes(file, (json.dumps(told, indent=1) + "\n").encode())


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(str(error))
