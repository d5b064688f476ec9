"""The table of a class at once, from `benchmarks/results/classroom.json`."""

import json
from pathlib import Path
from typing import Any

RESULT = Path(__file__).parent / "results" / "classroom.json"
HOUR = RESULT.with_name("classroom_hour.json")
"""Memory over an hour; its times are those of a machine that did other work beside it."""


def classroom_table(result: Path = RESULT, hour: Path = HOUR) -> str:
    """Answers to clicks, fairness and memory, as a Markdown table; a sentence if nothing was measured."""
    if not result.exists():
        return "Not measured on this version yet: `python -m benchmarks.classroom`."
    found: dict[str, Any] = json.loads(result.read_text())
    lines = ["| what | found |", "| --- | --- |"]
    lines += [f"| {what} | {value} |" for what, value in _rows(found)]
    if hour.exists():
        lines += [f"| {what} | {value} |" for what, value in _memory(json.loads(hour.read_text()))]
    note = f" {found['note'].rstrip('.')}." if found["note"] else ""
    return "\n".join([*lines, "", f"Measured on {found['machine']}, over {found['seconds']:.0f} s.{note}"])


def _rows(found: dict[str, Any]) -> list[tuple[str, str]]:
    click, fair = found["click"], found["fairness"]
    each = f"a click about every {found['pause']:g} s each"
    rows = [(f"{found['readers']} readers, {each}: a click answers in", _seconds(click))]
    rows += [(f"{name}, of these" if name != "open Defend" else name, _seconds(of)) for name, of in _clicks(found)]
    if fair:
        words = f"fewest {fair['fewest']}, median {fair['median']:g}, most {fair['most']}, Jain's index {fair['jain']}"
        window = f"rounds of the {fair['runs']} runs from second {fair['from_second']:.0f} to {fair['to_second']:.0f}"
        rows.append((window, words))
    rows.append(("runs begun, finished; rounds of all", f"{found['runs']}, {found['finished']}; {found['rounds']:,}"))
    rows += _memory(found)
    rows.append(("readers that were lost", str(len(found["failed"]))))
    return rows


def _memory(found: dict[str, Any]) -> list[tuple[str, str]]:
    if not (memory := found["memory"]):
        return []
    parts = [memory[f"at_{share}"] for share in (1, 2, 3)]
    length = f"{found['seconds'] / 60:.0f} min" if found["seconds"] >= 600 else f"{found['seconds']:.0f} s"
    return [
        (
            f"memory of the {name} after a third, two thirds and all of {length}",
            f"{', '.join(f'{part[name]:,.0f}' for part in parts)} MiB",
        )
        for name in ("dashboard", "workers")
    ]


def _clicks(found: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [(name, of) for name, of in found["clicks"].items() if of["n"]]


def _seconds(of: dict[str, Any]) -> str:
    return f"median {of['median']:.2f} s, 95 % under {of['p95']:.2f} s, at most {of['largest']:.2f} s (n = {of['n']})"
