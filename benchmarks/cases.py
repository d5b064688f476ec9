"""What benchmarks based on sweeps store about their cases."""

import json
import re
import shutil
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from invmask import settings
from invmask.cli.sweep import file_of, is_done
from invmask.grids.grid import Case
from invmask.machine import processor
from invmask.victims.victim import find_cards, read_card

MACHINES = "machines.json"
TOLD = ("label", "lead", "family", "stands out", "leads")
"""Names of a search's notes."""
JUDGED = RIGHT, WRONG, NONE = "right", "wrong", "none"
"""Judgements of a search: the label that stands out is the backdoor's, another one, or none."""


def keep(cases: Iterable[Case], folder: Path, results: Path) -> None:
    """Copy the results of finished cases from a sweep's folder to ``results``/cases, and note their machine.

    Other files in the folder are not copied; they may have earlier settings or other victims. Results copied before
    keep the machine noted then.
    """
    (results / "cases").mkdir(parents=True, exist_ok=True)
    told = results / MACHINES
    machines = json.loads(told.read_text()) if told.exists() else {}
    for case in cases:
        if is_done(folder, case):
            found, kept = file_of(folder, case), file_of(results / "cases", case)
            if not kept.exists() or kept.read_bytes() != found.read_bytes():
                shutil.copy(found, kept)
                machines[kept.stem] = processor(settings.device())
    told.write_text(json.dumps(dict(sorted(machines.items())), indent=1) + "\n")


def machines_of(results: Path) -> dict[str, str]:
    """The machine of each case, by the name of the case's file."""
    return json.loads((results / MACHINES).read_text())


def search_of(details: Mapping[str, Any]) -> dict[str, Any]:
    """The last notes of a case's search: `label`, `lead` in nats, `family`, `stands out`, and `leads` by family.

    Empty if there was no search, and for older files from before there was a search.
    """
    notes = details.get("notes") or {}
    return {name: notes[name] for name in TOLD} if "stands out" in notes else {}


def judged(found: Mapping[str, Any], victim: str) -> str:
    """Whether a search found the backdoor's label: one of `JUDGED`. In a clean control no label is right."""
    if not found["stands out"]:
        return NONE
    return RIGHT if found["label"] == target_of(victim) else WRONG


def in_words(details: Mapping[str, Any], victim: str) -> str:
    """`right 1.53`: whether a case's label is right, and its lead; a dash if there was no search."""
    found = search_of(details)
    return f"{judged(found, victim)} {found['lead']:.2f}" if found else "–"


def target_of(victim: str) -> int | None:
    """The backdoor's target label, from the victim's card or, without one, from its name; None for a clean control."""
    cards = _targets()
    if victim in cards:
        return cards[victim]
    named = re.search(r"-t(\d+)$", victim)
    return int(named[1]) if named else 0


@cache
def _targets() -> dict[str, int | None]:
    cards = find_cards([settings.ASSETS / "victims", settings.BENCHMARKS / "victims"])
    return {name: read_card(path).target_label for name, path in cards.items()}
