"""Whether few images are enough to hold to a label that is far ahead in its race: SPC 1 and 2, in pairs.

Held to: whatever label led by `hold_lead`, however few the images, as measured with `benchmarks.sweep` at the
repository's commit d280a61, before there was `hold_images`; those results are kept, of the cases in which a label was
held to. Not held to: the same cases of `benchmarks.sweep` now. The difference is not held to minus held to, in
percentage points, with a 95 % confidence interval over the pairs (bootstrap, 10,000 samples), where the label was the
backdoor's and where it was not:

    python -m benchmarks.held
"""

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks import sweep
from benchmarks.cases import race_of
from benchmarks.faster import interval
from invmask.attacks.victims import find_cards, read_card
from invmask.data.embedded import ASSETS
from invmask.runs.grid_results import MEASURES, CaseResult, read_case, read_folder

HELD = Path(__file__).parent / "results" / "held"
RESULT = HELD / "paired.json"


def main() -> None:
    """Compare, print and store."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    cards = find_cards([ASSETS / "victims"])
    targets = {name: read_card(path).target_label for name, path in cards.items()}
    files = sorted((HELD / "cases").glob("*.json"))
    pairs = [(read_case(sweep.RESULTS / "cases" / path.name), read_case(path)) for path in files]
    budgets = {held.spc for _, held in pairs}
    swept = [of for of in read_folder(sweep.RESULTS / "cases")[0] if of.spc in budgets and of.preset == "default"]
    found = {"spc": sorted(budgets), "cases": len(swept), **compare(pairs, targets)}
    RESULT.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


def compare(pairs: list[tuple[CaseResult, CaseResult]], targets: dict[str, int | None]) -> dict[str, Any]:
    """The leads and the paired differences, by whether the label ahead was the backdoor's.

    Args:
        pairs: not held to, and held to.
        targets: the target label by victim; None for a clean control.
    """
    for now, held in pairs:
        settings = now.details["settings"]
        assert settings == {**held.details["settings"], "hold_images": settings["hold_images"]}
        assert (now.precision, now.device) == (held.precision, held.device)
    groups: dict[str, list[tuple[CaseResult, CaseResult]]] = {"the backdoor's": [], "another": []}
    for pair in pairs:
        race = race_of(pair[0].details)
        groups["the backdoor's" if race["label"] == targets[pair[0].victim] else "another"].append(pair)
    return {
        "hold_lead": pairs[0][1].details["settings"]["hold_lead"],
        "what": "not held to minus held to in percentage points: mean, 95 % confidence interval, n pairs",
        "labels": {
            name: {
                "n": len(of),
                "leads": sorted(round(race_of(now.details)["lead"], 3) for now, _ in of),
                "differences": {
                    f"{view} {measure}": interval(
                        [
                            100 * (after - before)
                            for now, held in of
                            if (after := now.views[view][measure]) is not None
                            and (before := held.views[view][measure]) is not None
                        ]
                    )
                    for view in ("pruned", "inverse")
                    for measure in MEASURES
                },
            }
            for name, of in groups.items()
            if of
        },
    }


if __name__ == "__main__":
    main()
