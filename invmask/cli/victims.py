"""`victims`: list the victims. Only their cards are read, so the command is fast."""

import json
import sys
from pathlib import Path
from typing import Any

from invmask import settings
from invmask.cli.tables import per_cent, print_json, print_table
from invmask.victims.card_values import NEEDED, check_values


def show_all(as_json: bool) -> int:
    """Print every victim. A damaged card is reported and left out."""
    found = all_victims()
    if as_json:
        print_json(found)
    elif found:
        rows = [
            [
                card["name"],
                per_cent(card["poisoning_ratio"]),
                "-" if card["target_label"] is None else str(card["target_label"]),
                *(per_cent(card[measure]) for measure in ("acc", "asr", "ra")),
                str(card["n_test"]),
            ]
            for card in found
        ]
        print_table(["victim", "poisoned %", "target", "ACC %", "ASR %", "RA %", "n"], rows)
    else:
        print("There are no victims; make one with 'python -m invmask train badnets'.", file=sys.stderr)
    return 0


def all_victims() -> list[dict[str, Any]]:
    """The public values of every card, by name of the victim; an earlier folder wins."""
    found: dict[str, dict[str, Any]] = {}
    for folder in settings.victim_folders():
        for path in sorted(folder.glob("*.json")):
            card = _read(path)
            if card is None:
                print(f"{path} is not a victim's card; delete it or train the victim again.", file=sys.stderr)
            else:
                found.setdefault(card["name"], card)
    return [found[name] for name in sorted(found)]


def _read(path: Path) -> dict[str, Any] | None:
    try:
        values = check_values(json.loads(path.read_text()))
        card = {key: values[key] for key in NEEDED}
    except (OSError, ValueError):
        return None
    return card if card["name"] == path.stem else None
