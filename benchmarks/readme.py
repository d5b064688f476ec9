"""Put the tables made from raw results into README, between its markers: python -m benchmarks.readme."""

import json
import re
import statistics
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks import defence, perturbations, quality, sweep, unlike, zoo, zoo_entries, zoo_roc, zoo_search
from benchmarks.cases import JUDGED, in_words, judged, machines_of, search_of
from invmask.grids.results import CaseResult, as_markdown, read_case, read_folder, summarise
from invmask.settings import ASSETS, BENCHMARKS
from invmask.victims.victim import CLEAN

ROOT = Path(__file__).parents[1]


def victims() -> str:
    """ACC / ASR / RA of every victim that comes along on the full test set, from the cards."""
    lines = ["| victim | ACC | ASR | RA | n | trained on |", "| --- | --- | --- | --- | --- | --- |"]
    for path in [*sorted((ASSETS / "victims").glob("*.json")), *sorted((BENCHMARKS / "victims").glob("*.json"))]:
        card = json.loads(path.read_text())
        cells = " | ".join("" if card[key] is None else f"{card[key] * 100:.1f} %" for key in ("acc", "asr", "ra"))
        lines.append(f"| `{card['name']}` | {cells} | {card['n_test']:,} | {card['machine']} |")
    return "\n".join(lines)


def quality_table() -> str:
    """The table of benchmarks/quality.py with what it was measured on."""
    cases = quality.read_cases(quality.RESULTS)
    machines = sorted({f"{case['machine']}, {case['precision']}, {case['threads']} thread" for case in cases})
    head = (
        "On all 2,000 embedded test images (1,800 of them triggered), in per cent, mean ± standard deviation over "
        "seeds; "
        f"{'; '.join(machines)}. The machine did other work meanwhile: times are under Speed. "
        "Raw results: [benchmarks/results/quality](benchmarks/results/quality), made by "
        "`python -m benchmarks.quality`."
    )
    return f"{head}\n\n{quality.make_table(cases)}"


def ceiling_table() -> str:
    """What a network that never saw a trigger makes of it, and what a mask does that was learned with it in hand."""
    titles = "| trigger | clean control: ACC, its RA | oracle mask: ACC, ASR, RA | n |"
    lines = [titles, "| --- | --- | --- | --- |"]
    for path in sorted((quality.RESULTS.parent / "ceiling").glob("*.json")):
        found = json.loads(path.read_text())
        control = " / ".join(f"{found['control'][key] * 100:.1f}" for key in ("acc_same_images", "ra"))
        oracle = " / ".join(f"{found['oracle'][key] * 100:.1f}" for key in ("acc_same_images", "asr", "ra"))
        attack = found["victim"].rpartition("-")[2]
        lines.append(f"| {attack} | {control} | {oracle} | {found['oracle']['n_triggered']:,} |")
    return "\n".join(lines)


def speed_table() -> str:
    """What benchmarks/ found of speed, a line each with n; no line for what was not measured."""
    results = quality.RESULTS.parent
    lines = ["| what | found | machine |", "| --- | --- | --- |"]

    def add(what: str, found: str, result: dict[str, Any]) -> None:
        threads = f", {result['threads']} thread{'s' * (result['threads'] > 1)}" if "threads" in result else ""
        lines.append(f"| {what} | {found} | {result['machine']}{threads} |")

    for path in sorted((results / "rounds").glob("*.json")):
        result = json.loads(path.read_text())
        for width, of in result["widths"].items():
            ratios = ", ".join(
                f"{key[6:]} {of[key]:.1f} times" for key in ("ratio_float32", "ratio_bfloat16") if key in of
            )
            what = f"`paper`, one round of phases 1 to 3, faster than as published: width {width[5:]}"
            add(what, f"{ratios} (n = {of['n']})", result)
    for path in sorted((results / "limit").glob("*.json")):
        result = json.loads(path.read_text())
        for width, by_precision in result["widths"].items():
            shares = ", ".join(
                f"{name} {100 * of['share']:.0f} % ({of['gflops_limit']:.0f} GFLOP/s)"
                for name, of in by_precision.items()
            )
            one = next(iter(by_precision.values()))
            what = f"share of the convolutions' limit in a round (that limit): width {width[5:]}"
            add(what, f"{shares} (n = {len(one['round_seconds'])})", result)
            fewer = one["flop_as_published"] / one["flop"]
            add(f"operations of a round as published over the engine's: width {width[5:]}", f"{fewer:.2f}", result)
            rounds = results / "rounds" / path.name
            timed = json.loads(rounds.read_text())["widths"].get(width) if rounds.exists() else None
            if timed is not None:
                plain = statistics.median(timed["seconds"]["as_published"]["minimise"])
                most = ", ".join(f"{name} {plain / of['limit_seconds']:.1f} times" for name, of in by_precision.items())
                add(f"a round of phase 2 at that limit, faster than as published: width {width[5:]}", most, result)
    for path in sorted((results / "defence").glob("*.json")):
        result = json.loads(path.read_text())
        each = [one["seconds"] for one in result["defences"]]
        in_rounds = statistics.median(one["seconds_in_rounds"] for one in result["defences"])
        memory = max(one["peak_memory_bytes"] for one in result["defences"]) / 2**30
        of_victim = "" if result["victim"] == defence.VICTIM else f" of `{result['victim']}`"
        before = ""
        if "before" in result:
            then = _spread([one["seconds"] for one in result["before"]["defences"]])
            ratio = statistics.median(result["before / now"])
            before = f"; measured in turn with it, {result['before']['commit']}: {then} s, {ratio:.1f} times as long"
        add(
            f"whole defence{of_victim}, `{result['preset']}`, SPC {result['spc']}, {result['precision']}",
            f"{_spread(each)} s, in rounds {in_rounds:.1f} s, at most {memory:.1f} GiB (n = {len(each)}){before}",
            result,
        )
    for path in sorted((results / "beside").glob("*.json")):
        result = json.loads(path.read_text())
        for what, found in beside_rows(result):
            add(what, found, result)
    for path in sorted((results / "workers").glob("*.json")):
        result = json.loads(path.read_text())
        ratios = ", ".join(f"{phase} {_spread(each)} times" for phase, each in result["ratio"].items())
        add("a round in a worker, faster than with Dask's memory setting", f"{ratios} (n = {result['n']})", result)
    precision = results / "precision.json"
    if precision.exists():
        result = json.loads(precision.read_text())
        for row in result["rows"]:
            each = row["float32 / bfloat16"]
            what = f"speed of a pass forward and backward of `{row['architecture']}` in bfloat16, relative to float32"
            add(what, f"{statistics.mean(each):.2f} ± {statistics.stdev(each):.2f} times (n = {len(each)})", result)
    for path in sorted((results / "slopes").glob("*.json")):
        result = json.loads(path.read_text())
        for name, axes in result["presets"].items():
            for axis, of in axes.items():
                each = [len(by_phase["minimise"]) for by_phase in of["seconds"].values()]
                steps = ", ".join(
                    f"{step}: {slope['mean']:.2f} ± {slope['spread']:.2f}"
                    for step, slope in of["slopes"]["minimise"].items()
                )
                add(f"slope of a round's cost over {axis}, `{name}`", f"{steps} (n = {min(each)})", result)
    startup = results / "startup.json"
    if startup.exists():
        result = json.loads(startup.read_text())
        for name, of in result["seconds"].items():
            add(name, f"{_spread(of['each'])} s (n = {of['n']})", result)
    result = json.loads((results / "clicks.json").read_text())
    for name, of in result["pages"].items():
        taken = of["heading"]
        what = f"click to {name.title()} beside a run, to its heading"
        add(what, f"median {taken['median']:.2f} s, at most {taken['largest']:.2f} s (n = {taken['n']})", result)
    moves = results / "moves.json"
    if moves.exists():
        result = json.loads(moves.read_text())
        for name, of in result["seconds"].items():
            found = f"median {of['median']:.2f} s, at most {of['largest']:.2f} s (n = {of['n']})"
            add(f"{name}, beside a run", found, result)
    return "\n".join(lines)


def beside_rows(result: dict[str, Any]) -> list[tuple[str, str]]:
    """Defences beside other processes: what was measured, and seconds with threads that wait as before and as now."""
    titles = {"before": "threads that wait as OpenMP has them", "after": "as invmask has them"}
    rows: dict[str, list[str]] = {}
    for reading in result["readings"]:
        if reading["setting"] not in titles:
            continue
        rounds = "whole defence" if reading["rounds"] is None else f"{reading['rounds']} rounds"
        load = "idle" if reading["load"] == "idle" else f"beside {reading['load']}"
        if reading["cut_off"] == reading["n"]:
            found = f"not done in {reading['limit']:.0f} s"
        else:
            found = f"{_spread([one for one in reading['each'] if one is not None])} s"
            found += f", {reading['cut_off']} not done in {reading['limit']:.0f} s" if reading["cut_off"] else ""
        cells = rows.setdefault(f"{rounds} of `{reading['victim']}`, {load}", [])
        cells.append(f"{titles[reading['setting']]}: {found} (n = {reading['n']})")
    return [(what, "; ".join(cells)) for what, cells in rows.items()]


def zoo_tables() -> str:
    """What the verdict makes of networks of the zoo that it was not learned from."""
    results = zoo_roc.read(zoo.RESULTS)
    machines = sorted({of["machine"] for of in results})
    head = (
        f"{len(results)} of the {len(zoo_entries.zoo())} networks of the zoo have been made so far; "
        f"{'; '.join(machines)}; SPC {zoo_search.SPC}. AUC: the share of pairs of a backdoored and a clean network in "
        "which the backdoored one has the larger lead; for it nothing is learned. Brier score: the mean squared "
        "difference of the probability and what is so, 0 or 1; 0.25 for a guess. Raw results: "
        "[benchmarks/results/zoo](benchmarks/results/zoo), made by `python -m benchmarks.zoo`."
    )
    return f"{head}\n\n{zoo_roc.report(zoo_roc.rows_of(results))}"


def sweep_table(folder: Path) -> str:
    """Cases of a sweep in a table, with what they were measured on.

    Args:
        folder: what `cases.keep` wrote; it has the name of the script under benchmarks/ that had them made.
    """
    name = folder.name
    results, problems = read_folder(folder / "cases")
    assert results
    assert not problems
    counts = {of.dataset: (0, 0) for of in results}
    for of in results:
        counts[of.dataset] = tuple(map(max, counts[of.dataset], (of.n_clean, of.n_triggered)))  # type: ignore[assignment]
    words = [f"{clean:,} embedded test images, {triggered:,} of them triggered" for clean, triggered in counts.values()]
    images = words[0] if len(set(words)) == 1 else "; ".join(map("{}: {}".format, counts, words))
    machines = machines_of(folder)
    each = ((machines[path.stem], read_case(path).details) for path in sorted((folder / "cases").glob("*.json")))
    where = "; ".join(sorted({f"{machine}, {of['precision']}, {of['threads']} thread" for machine, of in each}))
    head = (
        f"In per cent, mean ± standard deviation over seeds, on {images}; {where}. Raw results: "
        f"[benchmarks/results/{name}](benchmarks/results/{name}), made by `python -m benchmarks.{name}`."
    )
    presets = dict.fromkeys(of.preset for of in results)
    parts = [head]
    for preset in presets:
        of_preset = [of for of in results if of.preset == preset]
        parts.append(as_markdown(summarise(of_preset)))
        if any(search_of(of.details) for of in of_preset):
            parts.append(search_table(preset, of_preset))
    return "\n\n".join(parts)


def search_table(preset: str, results: list[CaseResult]) -> str:
    """What the search found in every case: a row a victim, a column a budget, in a cell one entry a seed."""
    budgets = sorted({of.spc for of in results})
    cells: dict[str, dict[int, list[str]]] = {}
    for of in sorted(results, key=lambda of: of.seed):
        cells.setdefault(of.victim, {}).setdefault(of.spc, []).append(in_words(of.details, of.victim))
    head = (
        f"What the search of `{preset}` found, an entry a seed: the label that stands out is the backdoor's (right) or "
        "another (wrong; of a clean control, any), or none stands out (none); and the lead in nats."
    )
    lines = [f"| victim | {' | '.join(f'SPC {spc}' for spc in budgets)} |", "| --- " * (1 + len(budgets)) + "|"]
    for victim, by_spc in sorted(cells.items()):
        lines.append(f"| `{victim}` | {' | '.join(', '.join(by_spc.get(spc, ())) for spc in budgets)} |")
    return "\n".join([head, "", *lines])


def shortfalls(folder: Path) -> str:
    """Which cases of a sweep fall short of what was asked for, and what the search found in them.

    Args:
        folder: what `cases.keep` wrote.
    """
    results = [of for of in read_folder(folder / "cases")[0] if of.attack != CLEAN]
    presets = dict.fromkeys(of.preset for of in results)
    return "\n\n".join(_short(preset, [of for of in results if of.preset == preset]) for preset in presets)


def _short(preset: str, results: list[CaseResult]) -> str:
    fooled = [of for of in results if _pruned(of, "asr") > 0.1]
    gone = [of for of in results if of not in fooled and (of.views["original"]["acc"] or 0) - _pruned(of, "ra") > 0.15]
    rest = [of for of in results if of not in fooled and of not in gone]
    each = "; ".join(f"{of.attack}, SPC {of.spc}, seed {of.seed}: {100 * _pruned(of, 'asr'):.1f} %" for of in fooled)
    where = [_counted(of.attack for of in gone)]
    if len({of.spc for of in results}) > 1:
        where.append(_counted(f"at SPC {of.spc}" for of in gone))
    said = [
        f"`{preset}`: of {len(results)} cases with an attack {len(fooled)} end with an ASR over 10 %"
        + (f" ({each})" if fooled else ""),
        f"in {len(gone)} others RA is more than 15 points under the victim's ACC"
        + (f" ({'; '.join(where)})" if gone else ""),
    ]
    if all(search_of(of.details) for of in results):
        groups = ((fooled, "over 10 %"), (gone, "others"), (rest, "that do not fall short"))
        found = "; ".join(f"{_judged(cases)} of the {len(cases)} {which}" for cases, which in groups if cases)
        said.append(f"what the search found was {found}")
    return "; ".join(said) + "."


def _judged(cases: list[CaseResult]) -> str:
    found = Counter(judged(search_of(of.details), of.victim) for of in cases)
    return ", ".join(f"{name} in {found[name]}" for name in JUDGED)


def perturbation_words() -> str:
    """What δ was at the end of the runs of `paper`, in a sentence."""
    found = list(json.loads(perturbations.RESULT.read_text()).values())

    def between(measure: str) -> str:
        shares = [100 * of[measure] for of in found]
        return f"{min(shares):.0f} to {max(shares):.0f} %"

    images = sorted({of["images"] for of in found})
    return (
        f"In the last round of the {len(found)} cases of `paper` above, δ moves no value of a pixel by more than "
        f"{max(of['largest'] for of in found):.3f} of 1, and changes {between('flipped')} of the original's answers to "
        f"the {', '.join(map(str, images))} clean images, {between('to_target')} of these to the backdoor's label; the "
        f"pruned view gives back {between('pruned_restores')} of the changed ones "
        "([perturbations.json](benchmarks/results/sweep/perturbations.json), `python -m benchmarks.perturbations`)."
    )


def _counted(what: Iterable[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in Counter(what).most_common())


def _pruned(case: CaseResult, measure: str) -> float:
    found = case.views["pruned"][measure]
    assert found is not None
    return found


def _spread(values: list[float]) -> str:
    middle = statistics.median(values)
    digits = 1 if middle >= 1 else 3
    if len(values) == 1:
        return f"{middle:.{digits}f}"
    return f"median {middle:.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def main() -> None:
    """Rewrite README's tables."""
    file = ROOT / "README.md"
    text = file.read_text()
    tables = {
        "victims": victims(),
        "quality": quality_table(),
        "ceiling": ceiling_table(),
        "speed": speed_table(),
        "sweep": sweep_table(sweep.RESULTS),
        "short": shortfalls(sweep.RESULTS),
        "unlike": sweep_table(unlike.RESULTS),
        "zoo": zoo_tables(),
    }
    if perturbations.RESULT.exists():
        tables["perturbations"] = perturbation_words()
    for name, table in tables.items():
        pattern = rf"(<!-- numbers: {name} -->\n).*?(<!-- /numbers: {name} -->)"
        text = re.sub(pattern, lambda match, table=table: f"{match[1]}{table}\n{match[2]}", text, flags=re.DOTALL)
    file.write_text(text)


if __name__ == "__main__":
    main()
