"""Tables of how well defences and verdicts do, from raw results."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import (
    heldout,
    heldout_table,
    quality,
    sets,
    zoo,
    zoo_entries,
    zoo_roc,
    zoo_search,
)
from benchmarks.cases import JUDGED, NONE, RIGHT, WRONG, in_words, judged, machines_of, search_of
from invmask.grids.results import CaseResult, as_markdown, read_case, read_folder, summarise
from invmask.victims.victim import CLEAN


def quality_table() -> str:
    """The table of benchmarks/quality.py with what it was measured on."""
    cases = quality.read_cases(quality.RESULTS)
    machines = sorted({f"{case['machine']}, {case['precision']}, {case['threads']} thread" for case in cases})
    head = (
        "On all 2,000 embedded test images (1,800 of them triggered), in per cent, mean ± standard deviation over "
        "seeds; "
        f"{'; '.join(machines)}. The machine did other work at the same time; times are in [Speed](speed.md). "
        "Raw results: `benchmarks/results/quality`, made by "
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


def zoo_tables() -> str:
    """What the verdict makes of networks of the zoo that it was not learned from."""
    results = zoo_roc.read(zoo.RESULTS)
    machines = sorted({of["machine"] for of in results})
    head = (
        f"{len(results)} of the {len(zoo_entries.zoo())} networks of the zoo have been made so far; "
        f"{'; '.join(machines)}; SPC {zoo_search.SPC}. AUC: the share of pairs of a backdoored and a clean network in "
        "which the backdoored one has the larger lead; it does not depend on the regression. Brier score: the mean "
        "squared difference of the probability and the truth, 0 or 1; always saying 50 % gives 0.25. Raw results: "
        "`benchmarks/results/zoo`, made by `python -m benchmarks.zoo`."
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
        f"`benchmarks/results/{name}`, made by `python -m benchmarks.{name}`."
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
        f"What the search of `{preset}` found, an entry a seed, with the lead in nats. *right*: the label that "
        "stands out is the backdoor's; *wrong*: another stands out (of a clean control, any); *none*: no label does."
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
        f"`{preset}`, {len(results)} attacked cases. ASR is over 10 % in {len(fooled)}"
        + (f" ({each})." if fooled else "."),
        f"RA is more than 15 points under the victim's ACC in {len(gone)} others"
        + (f" ({'; '.join(where)})." if gone else "."),
    ]
    if all(search_of(of.details) for of in results):
        groups = ((fooled, "over 10 %"), (gone, "others"), (rest, "that do not fall short"))
        said += [f"In the {len(cases)} {which} the search found {_judged(cases)}." for cases, which in groups if cases]
    return " ".join(said)


def _judged(cases: list[CaseResult]) -> str:
    found = Counter(judged(search_of(of.details), of.victim) for of in cases)
    words = {RIGHT: "the right label", WRONG: "a wrong one", NONE: "none"}
    return ", ".join(f"{words[name]} in {found[name]}" for name in JUDGED)


def _counted(what: Iterable[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in Counter(what).most_common())


def _pruned(case: CaseResult, measure: str) -> float:
    found = case.views["pruned"][measure]
    assert found is not None
    return found


def held_out_table() -> str:
    """Networks that the preset was never tuned on, case by case, and what was asked for."""
    results = heldout.RESULTS / sets.HELD_OUT
    cases = heldout.read_raw(results)
    if not cases:
        return "Not run yet."
    looks = json.loads((results / f"{heldout.SUMMARY}.json").read_text())["looks"]
    machines = "; ".join(sorted({case["machine"] for case in cases}))
    head = (
        "In per cent, mean ± standard deviation over seeds, on the embedded test images that no choice was made on "
        f"(`benchmarks/split.py`); {machines}; SPC {heldout.SPC}. Raw results: `benchmarks/results/heldout`, made by "
        "`python -m benchmarks.heldout`."
    )
    return f"{head}\n\n{heldout_table.table(cases)}\n\n{looks_table(looks)}"


def looks_table(looks: Sequence[dict[str, Any]]) -> str:
    """Every look at the held-out set, the first one first: so a reader sees what was chosen after an earlier one."""
    count = len(looks)
    intro = f"Looks at this set so far: {count}. What was asked for held in so many cases."
    if count > 1:
        intro += f" `default` was changed between them. The tables above are of look {count}."
    titles = ["asked for", *(f"look {place}, {look['date'].partition(' ')[0]}" for place, look in enumerate(looks, 1))]
    lines = ["| " + " | ".join(titles) + " |", "| --- " * len(titles) + "|"]
    for asked in zip(*(look["asked_for"] for look in looks), strict=True):
        cells = [asked[0]["what"], *(f"{of['held']} of {of['cases']}" for of in asked)]
        lines.append("| " + " | ".join(cells) + " |")
    return f"{intro}\n\n" + "\n".join(lines)
