"""How well the search's statistics tell backdoored networks from clean ones: from the zoo's JSON alone.

A logistic regression is fitted to all networks but those left out: of one attack (with the clean networks beside them),
of one kind, or on one data set. What it makes of those left out is what counts.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from invmask.defenses.families import ON_IMAGES, Channels

Raw = dict[str, Any]
"""A network as `benchmarks.zoo` writes it."""
By = Literal["beside", "kind", "dataset"]
TITLES: dict[By, str] = {"beside": "attack", "kind": "kind of network", "dataset": "data set"}
MOST_ACCUSED = 0.05
LEAST_OVER_CHANCE = 3.0
"""A network whose ACC is not so many times that of a guess has learned nothing that a backdoor could hide in."""
RIDGE = 0.01
"""Weight of the squared coefficients, without which they grow for ever where the features separate."""
DRAWS, SEED = 2_000, 0


@dataclass(frozen=True)
class Row:
    """One network of the zoo, as far as it counts.

    Attributes:
        beside, kind, dataset: what it may be left out by.
        features: `features` of its search.
        right: whether the label that the search puts first is the backdoor's; False for a clean network.
    """

    name: str
    beside: str
    kind: str
    dataset: str
    backdoored: bool
    features: tuple[float, ...]
    right: bool


@dataclass(frozen=True)
class Model:
    """A logistic regression on features that were brought to mean 0 and spread 1: float64, [F] each, and the offset."""

    mean: Tensor
    spread: Tensor
    weights: Tensor
    offset: Tensor

    def scores(self, rows: Sequence[Row]) -> np.ndarray:
        """The probability that each is backdoored, where half of all are; float64 [N]."""
        return torch.sigmoid(_standard(rows, self.mean, self.spread) @ self.weights + self.offset).numpy()


@dataclass(frozen=True)
class Told:
    """What was made of networks left out: float64 scores, of the backdoored and of the clean ones.

    Attributes:
        found, accused: which of them, bool, are at or over the threshold that was chosen on the others.
        right: of the backdoored ones, for which the search names the right label.
    """

    what: str
    backdoored: np.ndarray
    clean: np.ndarray
    found: np.ndarray
    accused: np.ndarray
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
            rows.append(
                Row(
                    name=raw["name"],
                    beside=raw["beside"],
                    kind=raw["kind"],
                    dataset=raw["dataset"],
                    backdoored=backdoored,
                    features=features(raw["families"]),
                    right=backdoored and raw["label"] == raw["target"],
                )
            )
    return rows, left


def features(families: dict[str, Any]) -> tuple[float, float, float]:
    """The largest lead of the families on images, that among channels, and 1 where both lead to one label, else 0."""
    best = max((families[name] for name in ON_IMAGES), key=lambda of: of["lead"])
    channels = families[Channels.name]
    return best["lead"], channels["lead"], float(best["label"] == channels["label"])


def fit(rows: Sequence[Row]) -> Model:
    """The logistic regression on `rows`, as if half of them were backdoored."""
    values = torch.tensor([row.features for row in rows], dtype=torch.float64)
    labels = torch.tensor([row.backdoored for row in rows], dtype=torch.float64)
    # What never changes among them says nothing.
    mean, spread = values.mean(0), values.std(0, correction=0)
    spread = torch.where(spread > 0, spread, torch.inf)
    counts = torch.stack([(1 - labels).sum(), labels.sum()]).clamp(min=1)
    each = (0.5 / counts)[labels.long()]
    standard, numbers = (values - mean) / spread, torch.zeros(values.shape[1] + 1, dtype=torch.float64)
    numbers.requires_grad_()
    optimizer = torch.optim.LBFGS([numbers], max_iter=200, tolerance_grad=1e-10, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        logits = standard @ numbers[1:] + numbers[0]
        off = F.binary_cross_entropy_with_logits(logits, labels, each, reduction="sum")
        whole = off + RIDGE * numbers[1:].square().sum()
        whole.backward()
        return whole

    optimizer.step(loss)
    found = numbers.detach()
    return Model(mean, spread, found[1:], found[0])


def auc(backdoored: np.ndarray, clean: np.ndarray) -> float:
    """The share of pairs in which the backdoored network has the higher score, ties half; nan without a pair."""
    if not len(backdoored) or not len(clean):
        return math.nan
    differences = backdoored[:, None] - clean[None]
    return float(((differences > 0) + 0.5 * (differences == 0)).mean())


def interval(backdoored: np.ndarray, clean: np.ndarray) -> tuple[float, float]:
    """95 % of the AUCs of networks drawn again, with replacement, from each side (bootstrap)."""
    if not len(backdoored) or not len(clean):
        return math.nan, math.nan
    random = np.random.default_rng(SEED)
    drawn = [auc(random.choice(backdoored, len(backdoored)), random.choice(clean, len(clean))) for _ in range(DRAWS)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high)


def threshold(clean: np.ndarray) -> float:
    """The lowest score that at most 5 % of the clean networks reach; who has it or more is accused."""
    allowed = math.floor(MOST_ACCUSED * len(clean))
    highest = np.sort(clean)[::-1]
    # Just above the first that may not be accused.
    return float(np.nextafter(highest[allowed], np.inf)) if allowed < len(highest) else -math.inf


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
        limit = threshold(model.scores([row for row in others if not row.backdoored]))
        backdoored, clean = ([row for row in part if row.backdoored is sort] for sort in (True, False))
        scores, of_clean = model.scores(backdoored), model.scores(clean)
        right = np.array([row.right for row in backdoored], dtype=bool)
        found.append(Told(value, scores, of_clean, scores >= limit, of_clean >= limit, right))
    return found


def pooled(parts: Sequence[Told]) -> Told:
    """All parts together, each with the scores of its own regression."""

    def all_of(name: str) -> np.ndarray:
        return np.concatenate([getattr(part, name) for part in parts])

    return Told("all", all_of("backdoored"), all_of("clean"), all_of("found"), all_of("accused"), all_of("right"))


def report(counted: tuple[list[Row], dict[str, int]]) -> str:
    """Markdown: a table for each way to leave networks out, and how many networks do not count."""
    rows, left = counted
    backdoored = sum(row.backdoored for row in rows)
    parts = [f"{backdoored} backdoored networks and {len(rows) - backdoored} clean ones."]
    parts += [f"{count} more {why} and are left out of everything." for why, count in left.items() if count]
    for by, title in TITLES.items():
        if found := told_of(rows, by):
            parts.append(_table(title, [*found, pooled(found)]))
    return "\n\n".join(parts)


def _table(title: str, told: Sequence[Told]) -> str:
    titles = [f"{title} left out", "backdoored", "clean", "AUC", "95 %", "falsely accused", "found", "right label"]
    lines = ["| " + " | ".join(titles) + " |", "| --- " * len(titles) + "|"]
    for of in told:
        low, high = interval(of.backdoored, of.clean)
        cells = [
            of.what.removeprefix("folder:"),
            str(len(of.backdoored)),
            str(len(of.clean)),
            f"{auc(of.backdoored, of.clean):.3f}",
            f"{low:.3f} to {high:.3f}",
            _share(of.accused),
            _share(of.found),
            _share(of.right[of.found]),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _share(of: np.ndarray) -> str:
    return f"{of.sum()} of {len(of)}" + (f" ({of.mean():.1%})" if len(of) else "")


def _standard(rows: Sequence[Row], mean: Tensor, spread: Tensor) -> Tensor:
    values = torch.tensor([row.features for row in rows], dtype=torch.float64).reshape(-1, len(mean))
    return (values - mean) / spread
