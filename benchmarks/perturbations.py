"""What δ was at the end of the sweep's runs of `paper`: how large, and how many answers it changed to which label.

Reads the runs that `benchmarks.sweep` left in the home, and adds what it finds to results/sweep/perturbations.json:

    python -m benchmarks.perturbations
"""

import json
import sys

from benchmarks import sweep
from invmask import settings
from invmask.errors import UserError
from invmask.grids.results import read_folder
from invmask.runs.store.all_runs import RunStore
from invmask.victims.victim import find_cards, read_card

PRESET = "paper"
RESULT = sweep.RESULTS / "perturbations.json"


def main() -> None:
    """Read the last inner report of every run that is here."""
    found = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    store, cards = RunStore(settings.runs_folder()), find_cards(settings.victim_folders())
    for case in read_folder(sweep.RESULTS / "cases")[0]:
        if case.preset != PRESET or case.run not in {run.id for run in store.runs()}:
            continue
        inner = [entry.record.synthesis for entry in store.run(case.run).entries()]
        last = next(report for report in reversed(inner) if report is not None)
        target = read_card(cards[case.victim]).target_label
        found[f"{case.victim}_spc{case.spc}_seed{case.seed}"] = {
            "run": case.run,
            "images": last.samples,
            "largest": last.largest,
            "flipped": last.flipped,
            "to_target": None if target is None else last.flipped_to[target] / max(1, sum(last.flipped_to)),
            "inverse_agrees": last.inverse_agrees,
            "pruned_restores": last.pruned_restores,
        }
    RESULT.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(str(error))
