"""Put the tables made from raw results into README and docs/, between their markers: python -m benchmarks.tables."""

import json
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks import (
    heldout,
    heldout_table,
    sets,
    sweep,
    unlike,
)
from benchmarks import results_tables as of_results
from benchmarks.classroom_table import classroom_table
from benchmarks.fuzz_table import fuzz_table
from benchmarks.speed_table import speed_table
from invmask.defenses import registry
from invmask.defenses.entry import Entry
from invmask.grids.results import read_folder
from invmask.settings import ASSETS, BENCHMARKS
from invmask.victims.victim import CLEAN

ROOT = Path(__file__).parents[1]


def victims() -> str:
    """ACC, ASR and RA on the full test set of every victim that comes with invmask, from the cards."""
    lines = ["| victim | ACC | ASR | RA | n | trained on |", "| --- | --- | --- | --- | --- | --- |"]
    for path in [*sorted((ASSETS / "victims").glob("*.json")), *sorted((BENCHMARKS / "victims").glob("*.json"))]:
        card = json.loads(path.read_text())
        cells = " | ".join("" if card[key] is None else f"{card[key] * 100:.1f} %" for key in ("acc", "asr", "ra"))
        lines.append(f"| `{card['name']}` | {cells} | {card['n_test']:,} | {card['machine']} |")
    return "\n".join(lines)


def brief() -> str:
    """The results in a few lines, for networks that the preset was not tuned on, and for those that it was tuned on."""
    titles = ["networks", "SPC", "cases", "ACC before", "ACC", "ASR", "RA", "inverse ASR", "ASR under 10 %"]
    lines = ["| " + " | ".join(titles) + " |", "| --- " * len(titles) + "|"]
    held_out = [case for case in heldout.read_raw(heldout.RESULTS / sets.HELD_OUT) if case["trigger"]]
    views = [case["views"] for case in held_out]
    if views and all(views):
        kinds = len({case["victim"] for case in held_out})
        lines.append(_brief_row(f"**held out**: {kinds}, on none of which anything was tuned", heldout.SPC, views))
    tuned_on = [case for case in read_folder(sweep.RESULTS / "cases")[0] if case.preset == "default"]
    for spc in sorted({case.spc for case in tuned_on}):
        attacked = [case.views for case in tuned_on if case.spc == spc and case.attack != CLEAN]
        attacks = len({case.attack for case in tuned_on if case.spc == spc and case.attack != CLEAN})
        lines.append(_brief_row(f"in-sample: one for each of {attacks} attacks, tuned on", spc, attacked))
    note = (
        "Mean ± standard deviation over cases, in per cent, preset `default`. SPC is the number of clean images a "
        "class. Every case is a network and a seed. Held-out cases are measured on "
        f"1,500 test images, the others on 2,000. {_looks()}All of these networks are small and were trained by us."
    )
    return "\n".join([*lines, "", note])


def _looks() -> str:
    """That the held-out networks were looked at more than once, if they were."""
    file = heldout.RESULTS / sets.HELD_OUT / f"{heldout.SUMMARY}.json"
    count = json.loads(file.read_text())["count"] if file.exists() else 0
    again = f"The held-out networks were looked at {count} times, and `default` was changed in between. "
    return again if count > 1 else ""


def _brief_row(what: str, spc: int, views: Sequence[Mapping[str, Mapping[str, float | None]]]) -> str:
    def over(view: str, measure: str) -> str:
        values = [100 * float(of[view][measure] or 0) for of in views]
        return f"{statistics.mean(values):.1f} ± {statistics.stdev(values):.1f}"

    removed = sum((of["pruned"]["asr"] or 0) < heldout_table.MOST_ASR for of in views)
    cells = [
        what,
        str(spc),
        str(len(views)),
        over("original", "acc"),
        *(over("pruned", of) for of in ("acc", "asr", "ra")),
    ]
    return "| " + " | ".join([*cells, over("inverse", "asr"), f"{removed} of {len(views)}"]) + " |"


def settings_tables() -> str:
    """Every setting of every defence, from the registry."""
    return "\n\n".join(_settings_table(entry) for entry in registry.entries().values())


def _settings_table(entry: Entry) -> str:
    presets = list(entry.presets)
    titles = ["setting", "name", *(f"`{name}`" for name in presets), "range", "what it does"]
    lines = [f"### {entry.title}", "", "| " + " | ".join(titles) + " |", "| --- " * len(titles) + "|"]
    for setting in entry.config.settings():
        title = f"**{setting.title}**" if setting.basic else setting.title
        values = [f"{getattr(entry.preset(name), setting.name):g}" for name in presets]
        cells = [f"{title} {setting.symbol}".strip(), f"`{setting.name}`", *values]
        cells += [f"{setting.minimum:g} to {setting.maximum:g}", setting.explanation]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


TABLES: dict[str, Callable[[], str]] = {
    "brief": brief,
    "heldout": of_results.held_out_table,
    "victims": victims,
    "quality": of_results.quality_table,
    "ceiling": of_results.ceiling_table,
    "speed": speed_table,
    "classroom": classroom_table,
    "fuzz": fuzz_table,
    "sweep": lambda: of_results.sweep_table(sweep.RESULTS),
    "short": lambda: of_results.shortfalls(sweep.RESULTS),
    "unlike": lambda: of_results.sweep_table(unlike.RESULTS),
    "zoo": of_results.zoo_tables,
    "settings": settings_tables,
}
"""The tables by the name in their marker."""


def pages() -> list[Path]:
    """The files that may contain tables."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def renewed(text: str) -> str:
    """The page's text with every table made again.

    Raises:
        KeyError: a marker names a table that does not exist.
    """

    def made(match: re.Match[str]) -> str:
        return f"{match[1]}{TABLES[match[2]]()}\n{match[3]}"

    return re.sub(r"(<!-- numbers: (\w+) -->\n).*?(<!-- /numbers: \2 -->)", made, text, flags=re.DOTALL)


def main() -> None:
    """Rewrite the tables of all pages."""
    for page in pages():
        page.write_text(renewed(page.read_text()))


if __name__ == "__main__":
    main()
