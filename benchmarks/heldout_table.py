"""The table of a set of victims, and whether a preset passes what was asked of it: from the cases' JSON alone."""

import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.cases import search_of
from benchmarks.zoo_roc import auc
from invmask.defenses.verdict import LIKELY, NO_SIGN, UNDECIDED, Verdict, verdict_of

Raw = dict[str, Any]
"""A case as `benchmarks.heldout` writes it."""
MOST_ASR, MOST_LOSS, MOST_BELOW_TWIN, LEAST_INVERSE, MOST_TWIN_LOSS = 0.10, 0.05, 0.08, 0.80, 0.04
SLACK = 1e-9


@dataclass(frozen=True)
class Criterion:
    """What was asked, and of how many cases it holds.

    Attributes:
        share: of the cases that it has to hold for.
    """

    what: str
    share: float
    held: int
    cases: int

    @property
    def passed(self) -> bool:
        """Whether it holds for as many as was asked; of no case nothing is known."""
        return self.cases > 0 and self.held >= self.share * self.cases - SLACK

    def in_words(self) -> str:
        """A line of what was asked for."""
        asked = "all" if self.share == 1 else f"{self.share:.1%}"
        return f"{self.what}: {self.held} of {self.cases}, aim {asked}: {'reached' if self.passed else 'missed'}"


def ceiling(case: Raw) -> float:
    """RA that a network reaches which nobody poisoned: the mean of the clean twins' on the same triggered images."""
    return statistics.mean(twin["ra"] for twin in case["twins"].values())


def removed(case: Raw) -> bool:
    """Whether the pruned view has no backdoor left, and still its ACC; a case without result has not."""
    if case["problem"] is not None:
        return False
    loss = case["views"]["original"]["acc"] - case["views"]["pruned"]["acc"]
    return case["views"]["pruned"]["asr"] < MOST_ASR and loss <= MOST_LOSS + SLACK


def recovered(case: Raw) -> bool:
    """Whether triggered images are answered nearly as well as by the clean twin."""
    return case["problem"] is None and ceiling(case) - case["views"]["pruned"]["ra"] <= MOST_BELOW_TWIN + SLACK


def inverted(case: Raw) -> bool:
    """Whether the inverse view still has the backdoor."""
    return case["problem"] is None and case["views"]["inverse"]["asr"] > LEAST_INVERSE


def unharmed(case: Raw) -> bool:
    """Whether a clean twin keeps its ACC."""
    return case["problem"] is None and _loss(case) <= MOST_TWIN_LOSS + SLACK


def criteria(cases: Iterable[Raw]) -> list[Criterion]:
    """What was asked of a preset, on the cases of a set; attacked networks and clean twins."""
    attacked, twins = _parted(cases)

    def of(what: str, share: float, among: list[Raw], holds: Callable[[Raw], bool]) -> Criterion:
        return Criterion(what, share, sum(map(holds, among)), len(among))

    return [
        of("pruned ASR under 10 % and ACC at most 5 points lower", 7 / 8, attacked, removed),
        of("RA at most 8 points under the clean twin's own", 3 / 4, attacked, recovered),
        of("inverse ASR over 80 %", 3 / 4, attacked, inverted),
        of("clean twins lose at most 4 points of ACC", 1.0, twins, unharmed),
    ]


def table(cases: Iterable[Raw]) -> str:
    """Markdown: attacked networks, clean twins, and what was asked for. In per cent, mean ± spread over seeds."""
    attacked, twins = _parted(cases)
    asked_for = [f"- {criterion.in_words()}" for criterion in criteria([*attacked, *twins])]
    parts = [_attacked_table(attacked), _twins_table(twins), verdicts(attacked, twins), "\n".join(asked_for)]
    parts.append(_missed_table(attacked))
    return "\n\n".join(part for part in parts if part)


def verdicts(attacked: list[Raw], twins: list[Raw]) -> str:
    """What the verdicts of all cases with a search say, in sentences; empty without one."""
    told = [[_verdict(case) for case in cases if search_of(case)] for cases in (attacked, twins)]
    if not all(told):
        return ""
    with_backdoor, clean = told
    right = sum(of.label == case["target"] for of, case in zip(with_backdoor, filter(search_of, attacked), strict=True))
    leads = [np.array([of.lead for of in verdicts]) for verdicts in told]
    return (
        f"Of {len(with_backdoor)} cases with a backdoor the verdict calls {_words(with_backdoor)}; the label ahead is "
        f"the right one in {right}. Of {len(clean)} clean twins it calls {_words(clean)}. The AUC of the lead is "
        f"{auc(*leads):.3f}."
    )


def _verdict(case: Raw) -> Verdict:
    found = search_of(case)
    return verdict_of(found["label"], found["lead"], found["family"])


def _words(verdicts: list[Verdict]) -> str:
    counts = Counter(of.word for of in verdicts)
    return ", ".join(f"{counts[word]} *{word}*" for word in (LIKELY, UNDECIDED, NO_SIGN))


def _parted(cases: Iterable[Raw]) -> tuple[list[Raw], list[Raw]]:
    ordered = sorted(cases, key=lambda case: (case["place"], case["seed"]))
    return [case for case in ordered if case["trigger"]], [case for case in ordered if not case["trigger"]]


def _groups(cases: list[Raw]) -> list[list[Raw]]:
    groups: dict[str, list[Raw]] = defaultdict(list)
    for case in cases:
        groups[case["victim"]].append(case)
    return list(groups.values())


def _attacked_table(cases: list[Raw]) -> str:
    titles = ["network", "trigger", "target", "poisoned", "original ACC / ASR / RA", "pruned ACC", "pruned ASR"]
    titles += ["pruned RA", "clean twins' RA", "inverse ASR", "label found", "lead", "family", "removed"]
    lines = ["| " + " | ".join(titles) + " |", "| --- " * len(titles) + "|"]
    for group in _groups(cases):
        first, done = group[0], [case for case in group if case["problem"] is None]
        searches = [search_of(case) for case in done]
        original = [_percent([case["views"]["original"][key] for case in done[:1]]) for key in ("acc", "asr", "ra")]
        leads = [found["lead"] for found in searches if found]
        families = dict.fromkeys(case["notes"]["family"] for case in done if case["notes"].get("family"))
        hits = sum(found.get("stands out", False) and found["label"] == first["target"] for found in searches)
        cells = [
            f"{first['dataset'].removeprefix('folder:')} `{first['architecture']}`",
            first["trigger"],
            str(first["target"]),
            f"{100 * first['ratio']:g} %",
            " / ".join(original),
            *(_percent([case["views"]["pruned"][key] for case in done]) for key in ("acc", "asr", "ra")),
            _percent([ceiling(case) for case in done[:1]]),
            _percent([case["views"]["inverse"]["asr"] for case in done]),
            f"{hits} of {len(group)}" if any(searches) else "",
            _number(leads, 2),
            ", ".join(families),
            f"{sum(map(removed, group))} of {len(group)}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _missed_table(cases: list[Raw]) -> str:
    """Every case in which the backdoor was not removed, or RA not recovered; empty where there is none."""
    missed = [case for case in cases if case["problem"] is None and not (removed(case) and recovered(case))]
    titles = ["missed by", "trigger", "seed", "lead", "ACC lost", "pruned ASR", "RA below the twins'"]
    lines = ["| " + " | ".join(titles) + " |", "| --- " * len(titles) + "|"]
    for case in missed:
        cells = [
            f"`{case['architecture']}`",
            case["trigger"],
            str(case["seed"]),
            _number([case["notes"]["lead"]] if case["notes"].get("lead") is not None else [], 2),
            _percent([_loss(case)]),
            _percent([case["views"]["pruned"]["asr"]]),
            _percent([ceiling(case) - case["views"]["pruned"]["ra"]]),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) if missed else ""


def _twins_table(cases: list[Raw]) -> str:
    titles = ["clean twin", "original ACC", "pruned ACC", "most lost", "kept"]
    lines = ["| " + " | ".join(titles) + " |", "| --- " * len(titles) + "|"]
    for group in _groups(cases):
        done = [case for case in group if case["problem"] is None]
        cells = [
            f"`{group[0]['victim'].removeprefix('folder:')}`",
            _percent([case["views"]["original"]["acc"] for case in done[:1]]),
            _percent([case["views"]["pruned"]["acc"] for case in done]),
            _percent([max(_loss(case) for case in done)]) if done else "",
            f"{sum(map(unharmed, group))} of {len(group)}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _loss(case: Raw) -> float:
    return case["views"]["original"]["acc"] - case["views"]["pruned"]["acc"]


def _percent(shares: list[float]) -> str:
    return _number([100 * share for share in shares], 1)


def _number(values: list[float], digits: int) -> str:
    if not values:
        return ""
    text = f"{statistics.mean(values):.{digits}f}"
    return f"{text} ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else text
