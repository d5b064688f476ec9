"""How well the search's statistics tell backdoored networks from clean ones: from the zoo's JSON alone.

A logistic regression on the lead is fitted to all networks but those left out: of one attack (with the clean networks
beside them), of one kind, or on one data set. What it makes of those left out is what counts.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.zoo_search import PRESET, SPC
from invmask.attacks.registry import make_attack
from invmask.defenses.ims.config import preset
from invmask.defenses.ims.search import PLAIN
from invmask.defenses.verdict import Regression, Share

Raw = dict[str, Any]
"""A network as `benchmarks.zoo` writes it."""
By = Literal["beside", "kind", "dataset"]
TITLES: dict[By, str] = {"beside": "attack", "kind": "kind of network", "dataset": "data set"}
ON_IMAGES = ("badnets", "blended", "lf", "ssba", "iab")
"""Attacks by patch, blend, low frequency, and with another trigger on each image: of them most was asked."""
MOST_WRONG = 0.05
NO_SIGN, LIKELY = 0.2, 0.8
"""No probability above the first is called no sign, and none below the second likely backdoored."""
LEAST_OVER_CHANCE = 3.0
"""A network whose ACC is not so many times that of a guess has learned nothing that a backdoor could hide in."""
RIDGE = 0.001
"""Weight of the squared slope, without which it grows for ever where the leads separate."""


@dataclass(frozen=True)
class Row:
    """One network of the zoo, as far as it counts.

    Attributes:
        beside, kind, dataset: what it may be left out by.
        lead: that a run would find, in nats.
        right: whether the label ahead is the backdoor's; False for a clean network.
    """

    name: str
    beside: str
    kind: str
    dataset: str
    backdoored: bool
    lead: float
    right: bool


@dataclass(frozen=True)
class Model:
    """A logistic regression on the lead: log-odds a nat, and without a lead."""

    slope: float
    offset: float

    def scores(self, rows: Sequence[Row]) -> np.ndarray:
        """The probability that each is backdoored, where half of all are; float64 [N]."""
        leads = leads_of(rows)
        return 1 / (1 + np.exp(-(self.offset + self.slope * leads)))


@dataclass(frozen=True)
class Told:
    """What was made of networks left out: float64 scores, of the backdoored and of the clean ones.

    Attributes:
        leads: of the backdoored and of the clean ones, in nats: each score is of one of them.
        found, accused: which of them, bool, are likely backdoored by the bounds that were chosen on the others.
        missed: which of the backdoored ones, bool, show no sign by these.
        right: of the backdoored ones, for which the search names the right label.
    """

    what: str
    leads: tuple[np.ndarray, np.ndarray]
    backdoored: np.ndarray
    clean: np.ndarray
    found: np.ndarray
    accused: np.ndarray
    missed: np.ndarray
    right: np.ndarray


def read(folder: Path) -> list[Raw]:
    """All results, in the zoo's order."""
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]


def read_rows(folder: Path) -> tuple[list[Row], dict[str, int]]:
    """See `rows_of`, of all results in a folder."""
    return rows_of(read(folder))


def rows_of(results: Sequence[Raw]) -> tuple[list[Row], dict[str, int]]:
    """The networks that count, and how many do not, by the reason."""
    rows, left = [], {"did not learn": 0, "did not take the backdoor in": 0}
    for raw in results:
        if raw["acc"] < LEAST_OVER_CHANCE / raw["classes"]:
            left["did not learn"] += 1
        elif raw["implanted"] is False:
            left["did not take the backdoor in"] += 1
        else:
            backdoored = raw["implanted"] is True
            lead, label = as_run(raw["families"])
            rows.append(
                Row(
                    name=raw["name"],
                    beside=raw["beside"],
                    kind=raw["kind"],
                    dataset=raw["dataset"],
                    backdoored=backdoored,
                    lead=lead,
                    right=backdoored and label == raw["target"],
                )
            )
    return rows, left


def as_run(families: dict[str, Any]) -> tuple[float, int]:
    """The lead and the label that a run would have: it does not go on to other families once a lead is plain."""
    seen, plain = [], PLAIN * preset(PRESET).clear_lead
    for of in families.values():
        seen.append(of)
        if of["lead"] >= plain:
            break
    best = max(seen, key=lambda of: of["lead"])
    return best["lead"], best["label"]


def fit(rows: Sequence[Row]) -> Model:
    """The logistic regression on `rows`, as if half of them were backdoored."""
    leads = torch.tensor([row.lead for row in rows], dtype=torch.float64)
    labels = torch.tensor([row.backdoored for row in rows], dtype=torch.float64)
    counts = torch.stack([(1 - labels).sum(), labels.sum()]).clamp(min=1)
    each = (0.5 / counts)[labels.long()]
    numbers = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([numbers], max_iter=500, tolerance_grad=1e-10, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        logits = numbers[0] * leads + numbers[1]
        off = F.binary_cross_entropy_with_logits(logits, labels, each, reduction="sum")
        whole = off + RIDGE * numbers[0].square()
        whole.backward()
        return whole

    optimizer.step(loss)
    slope, offset = numbers.tolist()
    return Model(slope, offset)


def auc(backdoored: np.ndarray, clean: np.ndarray) -> float:
    """The share of pairs in which the backdoored network has the higher lead, ties half; nan without a pair.

    A score rises with the lead, so that of one regression it is the scores' as well.
    """
    if not len(backdoored) or not len(clean):
        return math.nan
    differences = backdoored[:, None] - clean[None]
    return float(((differences > 0) + 0.5 * (differences == 0)).mean())


def bounds(backdoored: np.ndarray, clean: np.ndarray) -> tuple[float, float]:
    """The score up to which a network shows no sign, and the one from which it is likely backdoored.

    At most 5 % of the backdoored ones may show no sign, and at most 5 % of the clean ones be likely backdoored.
    """
    lowest, highest = np.sort(backdoored), np.sort(clean)[::-1]
    missed, accused = (math.floor(MOST_WRONG * len(scores)) for scores in (lowest, highest))
    # Just beyond the first that may not be taken for the other.
    no_sign = float(np.nextafter(lowest[missed], -np.inf))
    likely = float(np.nextafter(highest[accused], np.inf))
    return min(no_sign, NO_SIGN), max(likely, LIKELY)


def leads_of(rows: Sequence[Row]) -> np.ndarray:
    """Float64 [N], in nats."""
    return np.array([row.lead for row in rows], dtype=np.float64)


def left_out(rows: Sequence[Row], by: By) -> list[tuple[str, list[Row], list[Row]]]:
    """For each value of `by`: it, the networks without it, and those with it."""
    values = dict.fromkeys(getattr(row, by) for row in rows)
    return [
        (
            value,
            [row for row in rows if getattr(row, by) != value],
            [row for row in rows if getattr(row, by) == value],
        )
        for value in values
    ]


def told_of(rows: Sequence[Row], by: By) -> list[Told]:
    """What a regression on all others makes of each part left out; a part is skipped if the others are of one sort."""
    found = []
    for value, others, part in left_out(rows, by):
        if {row.backdoored for row in others} != {False, True}:
            continue
        model = fit(others)
        no_sign, likely = bounds_of(model, others)
        backdoored, clean = ([row for row in part if row.backdoored is sort] for sort in (True, False))
        scores, of_clean = model.scores(backdoored), model.scores(clean)
        found.append(
            Told(
                what=value,
                leads=(leads_of(backdoored), leads_of(clean)),
                backdoored=scores,
                clean=of_clean,
                found=scores >= likely,
                accused=of_clean >= likely,
                missed=scores <= no_sign,
                right=np.array([row.right for row in backdoored], dtype=bool),
            )
        )
    return found


def pooled(parts: Sequence[Told]) -> Told:
    """All parts together, each with the scores of its own regression."""

    def all_of(name: str) -> np.ndarray:
        return np.concatenate([getattr(part, name) for part in parts])

    leads = tuple(np.concatenate([part.leads[sort] for part in parts]) for sort in (0, 1))
    names = ("backdoored", "clean", "found", "accused", "missed", "right")
    return Told("all", (leads[0], leads[1]), *(all_of(name) for name in names))


def of_images(parts: Sequence[Told]) -> Told:
    """The attacks of `ON_IMAGES` against all clean networks."""
    seen, whole = pooled([part for part in parts if part.what in ON_IMAGES]), pooled(parts)
    return replace(
        seen,
        what=", ".join(part.what for part in parts if part.what in ON_IMAGES),
        leads=(seen.leads[0], whole.leads[1]),
        clean=whole.clean,
        accused=whole.accused,
    )


def bounds_of(model: Model, rows: Sequence[Row]) -> tuple[float, float]:
    """See `bounds`, by what the regression makes of these networks."""
    backdoored, clean = (model.scores([row for row in rows if row.backdoored is sort]) for sort in (True, False))
    return bounds(backdoored, clean)


def brier(told: Told) -> float:
    """Mean squared difference of score and truth, over both sorts alike; 0.25 for a guess."""
    return float(((1 - told.backdoored) ** 2).mean() + (told.clean**2).mean()) / 2


def learned(rows: Sequence[Row]) -> Regression:
    """The regression on all networks, its bounds, and how regressions did on attacks that were left out."""
    model, told = fit(rows), told_of(rows, "beside")
    whole = pooled(told)
    no_sign, likely = bounds_of(model, rows)
    return Regression(
        slope=model.slope,
        offset=model.offset,
        likely=likely,
        no_sign=no_sign,
        spc=SPC,
        backdoored=sum(row.backdoored for row in rows),
        clean=sum(not row.backdoored for row in rows),
        auc=auc(*whole.leads),
        brier=brier(whole),
        accused=_counted(whole.accused),
        found=_counted(whole.found),
        missed=_counted(whole.missed),
        found_of={make_attack(of.what).title: _counted(of.found) for of in told},
    )


def report(counted: tuple[list[Row], dict[str, int]]) -> str:
    """Markdown: a table for each way to leave networks out, and how many networks do not count."""
    rows, left = counted
    backdoored = sum(row.backdoored for row in rows)
    parts = [f"{backdoored} backdoored networks and {len(rows) - backdoored} clean ones."]
    parts += [f"Left out of everything: {count} that {why}." for why, count in left.items() if count]
    for by, title in TITLES.items():
        if found := told_of(rows, by):
            whole = [pooled(found)]
            if by == "beside" and any(part.what in ON_IMAGES for part in found):
                whole.insert(0, of_images(found))
            parts.append(_table(title, [*found, *whole]))
    return "\n\n".join(parts)


def _table(title: str, told: Sequence[Told]) -> str:
    titles = [f"{title} left out", "backdoored", "clean", "AUC", "Brier score", "clean ones called likely backdoored"]
    titles += ["backdoored ones called likely backdoored", "called no sign", "right label, of those likely backdoored"]
    lines = ["| " + " | ".join(titles) + " |", "| --- " * len(titles) + "|"]
    for of in told:
        both = len(of.backdoored) and len(of.clean)
        cells = [
            of.what.removeprefix("folder:"),
            str(len(of.backdoored)),
            str(len(of.clean)),
            f"{auc(*of.leads):.3f}" if both else "",
            f"{brier(of):.3f}" if both else "",
            _share(of.accused),
            _share(of.found),
            _share(of.missed),
            _share(of.right[of.found]),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _counted(of: np.ndarray) -> Share:
    return Share(int(of.sum()), len(of))


def _share(of: np.ndarray) -> str:
    return f"{of.sum()} of {len(of)}" + (f" ({of.mean():.1%})" if len(of) else "")
