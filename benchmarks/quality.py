"""How well IMS defends: ACC / ASR / RA of the three views after each phase, on all embedded test images.

Every case (victim, preset, SPC, seed) is a run like any other and a JSON file of its own; a case that was
interrupted goes on where it was, one that is done is skipped. The table is made from the files:

    python -m benchmarks.quality run --presets default --victims badnets blended sig clean --seeds 0 1 2
    python -m benchmarks.quality table
"""

import argparse
import contextlib
import json
import statistics
from collections import defaultdict
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.cases import in_words
from invmask import settings
from invmask.cli.defend import changes
from invmask.defenses import registry
from invmask.defenses.ims.config import IMSConfig, Phase
from invmask.errors import UserError
from invmask.machine import processor
from invmask.masks.repair import Repair
from invmask.masks.state import View
from invmask.runs.store.all_runs import RunStore
from invmask.runs.store.records import RoundEntry
from invmask.runs.store.run import Run
from invmask.runs.store.spec import RunSpec
from invmask.runs.work.advance import Outcome, advance
from invmask.runs.work.bench import Bench, ProbeImages, make_bench, spec_of

RESULTS = Path(__file__).parent / "results" / "quality"
STEM = "cifar10-preactresnet18w16"


def main(words: list[str] | None = None) -> None:
    """Run cases, or print the table of finished cases; `words` are the command line's arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="do the cases that are not done yet")
    run.add_argument("--presets", nargs="+", default=["default"])
    run.add_argument("--victims", nargs="+", default=["badnets", "blended", "sig", "clean"])
    run.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    run.add_argument("--spc", type=int, default=10)
    run.add_argument("--threads", type=int, default=settings.threads())
    run.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="settings unlike the preset's")
    run.add_argument("--results", type=Path, default=RESULTS)
    table = commands.add_parser("table", help="print the table of what is done as Markdown")
    table.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args(words)
    if arguments.command == "table":
        print(make_table(read_cases(arguments.results)))
        return
    for name in arguments.presets:
        for seed in arguments.seeds:
            for victim in arguments.victims:
                case = (f"{STEM}-{victim}", name, arguments.spc, seed, arguments.threads)
                run_case(*case, arguments.results, changes(arguments.set, registry.entry("ims")))


def run_case(
    victim: str, preset_name: str, spc: int, seed: int, threads: int, results: Path, unlike: dict[str, Any]
) -> None:
    """Run one case, unless its file exists and has the settings that the case would have now."""
    file = results / f"{victim}_{preset_name}_spc{spc}_seed{seed}.json"
    spec = replace(spec_of(victim, preset_name, spc, seed, unlike), threads=threads)
    if is_done(file, spec):
        return
    store = RunStore(settings.runs_folder())
    run = next((found for found in store.runs() if is_of(found, spec)), None) or store.create(spec)
    store.go_on(run.id)
    with tqdm(desc=file.stem, unit="round", initial=run.summary().round) as bar:

        def count(_: RoundEntry) -> None:
            bar.update()

        outcome = advance(run.path, on_round=count)
    if outcome is not Outcome.IDLE:
        raise SystemExit(f"{run.id} did not end: {outcome}, {run.status().message}")
    results.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(describe(run, make_bench(spec, settings.victim_folders())), indent=1) + "\n")


def is_done(file: Path, spec: RunSpec) -> bool:
    """Whether a case was measured with the settings that it would have now; False for another version's settings."""
    if not file.exists():
        return False
    with contextlib.suppress(UserError):
        return IMSConfig.from_json(json.loads(file.read_text())["config"]) == spec.config
    return False


def is_of(run: Run, spec: RunSpec) -> bool:
    """Whether a run has the specification `spec`; False for a run that cannot be read."""
    with contextlib.suppress(UserError):
        return run.exists() and run.spec() == spec
    return False


def describe(run: Run, bench: Bench) -> dict[str, Any]:
    """A case as JSON: its description, and the views' measures after each phase except the search."""
    images = bench.all_test_images()
    start = bench.measure(images, run.repair_at(0), (View.ORIGINAL,))[View.ORIGINAL]
    entries, phases = run.entries(), []
    for phase in Phase:
        taken = [entry for entry in entries if entry.record.stage == phase]
        if taken:
            last = taken[-1].record
            seconds = statistics.median(entry.seconds for entry in taken)
            told = {"phase": phase.value, "rounds": len(taken), "seconds_a_round": seconds}
            if phase is Phase.SEARCH:
                phases.append(told)
                continue
            repair = run.repair_at(last.round)
            phases.append(
                {
                    **told,
                    "selected": last.counts["selected"],
                    "pruned_channels": last.counts["pruned"],
                    "inverse_cut": last.counts["inverse_cut"],
                    **measure(bench, images, repair),
                }
            )
    result = run.result()
    assert result is not None
    spec = run.spec()
    return {
        "victim": spec.victim,
        "preset": spec.preset,
        "spc": spec.spc,
        "seed": spec.seed,
        "config": spec.config.as_json(),
        "precision": spec.precision,
        "threads": spec.threads,
        "machine": processor(spec.device),
        "versions": spec.versions,
        "stopped_because": result.stopped_because,
        "channels": result.counts["channels"],
        "notes": result.notes,
        "original": asdict(start),
        "phases": phases,
    }


def measure(bench: Bench, images: ProbeImages, repair: Repair) -> dict[str, Any]:
    """Measures of both views, and the pruned view's ACC on the clean versions of the triggered images."""
    views = bench.measure(images, repair, (View.PRUNED, View.INVERSE))
    found: dict[str, Any] = {view.value: asdict(views[view]) for view in views}
    if images.triggered is not None:
        others = images.attacked
        clean = replace(
            images,
            clean=images.clean[others],
            labels=images.labels[others],
            triggered=None,
            triggered_labels=None,
            targets=None,
        )
        found["pruned"]["acc_same_images"] = bench.measure(clean, repair, (View.PRUNED,))[View.PRUNED].acc
    return found


def read_cases(results: Path) -> list[dict[str, Any]]:
    """All finished cases, in a stable order."""
    return [json.loads(path.read_text()) for path in sorted(results.glob("*.json"))]


def make_table(cases: list[dict[str, Any]]) -> str:
    """The table as Markdown: a row per victim, preset and phase; mean and standard deviation in per cent."""
    groups: dict[tuple[str, str, int, str], list[dict[str, Any]]] = defaultdict(list)
    several = len({case["precision"] for case in cases}) > 1
    for case in cases:
        groups[case["victim"], case["preset"], case["spc"], case["precision"]].append(case)
    titles = ["attack", "preset, SPC", "after", "seeds", "rounds", "pruned ACC", "pruned ASR", "pruned RA"]
    titles += ["inverse ACC", "inverse ASR", "selected", "pruned"]
    lines = ["| " + " | ".join(titles) + " |", "| --- " * len(titles) + "|"]
    for (victim, name, spc, precision), group in sorted(groups.items()):
        how = f"{name}, {spc}" + (f", {precision}" if several else "")
        attack = victim.rpartition("-")[2]
        original = group[0]["original"]
        cells = " | ".join(_cell([original[key]]) for key in ("acc", "asr", "ra"))
        lines.append(f"| {attack} | undefended | | | | {cells} | | | | |")
        for phase in Phase:
            found = [p for case in group for p in case["phases"] if p["phase"] == phase]
            if found and phase is Phase.SEARCH:
                each = ", ".join(in_words(case, case["victim"]) for case in group)
                rounds = _number([p["rounds"] for p in found], 0)
                lines.append(f"| {attack} | {how} | search: {each} | {len(found)} | {rounds} |{' |' * 7}")
            elif found:
                cells = " | ".join(
                    [
                        _number([p["rounds"] for p in found], 0),
                        *(_cell([p["pruned"][key] for p in found]) for key in ("acc", "asr", "ra")),
                        *(_cell([p["inverse"][key] for p in found]) for key in ("acc", "asr")),
                        *(_number([p[key] for p in found], 0) for key in ("selected", "pruned_channels")),
                    ]
                )
                lines.append(f"| {attack} | {how} | {phase.value} | {len(found)} | {cells} |")
    return "\n".join(lines)


def _cell(shares: list[float | None]) -> str:
    present = [share * 100 for share in shares if share is not None]
    return _number(present, 1) if present else ""


def _number(values: list[float], digits: int) -> str:
    text = f"{statistics.mean(values):.{digits}f}"
    return f"{text} ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else text


if __name__ == "__main__":
    main()
