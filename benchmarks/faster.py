"""Whether `default` defends as well as when it was first measured: the same victims, budgets and seeds, in pairs.

Before: every inner step looks at all images (`inner_parts=1`), perturbations as strong as they are found, 50 rounds in
the first phase and no race of labels, none of which is held to, `weight_inverse_clean=1`, and hooks for gates in the
engine, as measured with `benchmarks.quality` at the repository's commit 37aea18; those results are kept. Now: the cases
of `benchmarks.quality`. The difference is now minus before, in percentage points, with a 95 % confidence interval over
the pairs (bootstrap, 10,000 samples):

    python -m benchmarks.faster
"""

import argparse
import json
import statistics
from typing import Any

import numpy as np

from benchmarks import quality
from invmask.defenses.ims.config import IMSConfig, preset

BEFORE = quality.RESULTS.parent / "faster" / "before"
RESULT = BEFORE.parent / "paired.json"
SAMPLES = 10_000


def main() -> None:
    """Compare, print and store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    found = compare(quality.read_cases(quality.RESULTS), quality.read_cases(BEFORE))
    RESULT.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


def compare(now: list[dict[str, Any]], before: list[dict[str, Any]]) -> dict[str, Any]:
    """The paired differences of every measure, over all victims and for each."""
    earlier = {(case["victim"], case["seed"]): case for case in before}
    pairs = [
        (case, earlier[key])
        for case in now
        if case["preset"] == "default"
        and case["spc"] == 10
        and (key := (case["victim"], case["seed"])) in earlier
        and case["precision"] == earlier[key]["precision"]
        # What is left of earlier settings does not count as now.
        and IMSConfig.from_json(case["config"]) == preset("default", seed=case["seed"])
    ]
    measures = [(view, key) for view in ("pruned", "inverse") for key in ("acc", "asr", "ra")]
    groups = {"all": pairs}
    for pair in pairs:
        groups.setdefault(pair[0]["victim"].rpartition("-")[2], []).append(pair)
    return {
        "what": "now minus before in percentage points: mean, 95 % confidence interval, n pairs",
        "differences": {
            name: {f"{view} {key}": interval(_differences(of, view, key)) for view, key in measures}
            for name, of in groups.items()
        },
    }


def _differences(pairs: list[tuple[dict[str, Any], dict[str, Any]]], view: str, key: str) -> list[float]:
    return [100 * (now["phases"][-1][view][key] - before["phases"][-1][view][key]) for now, before in pairs]


def interval(each: list[float]) -> dict[str, Any]:
    """The mean of paired differences and its 95 % confidence interval."""
    drawn = np.random.default_rng(0).choice(each, (SAMPLES, len(each))).mean(1)
    low, high = np.percentile(drawn, [2.5, 97.5]).tolist()
    return {"mean": statistics.mean(each), "low": low, "high": high, "n": len(each)}


if __name__ == "__main__":
    main()
