"""The verdict of a search: how likely a network has a backdoor, and to which label.

A logistic regression on the lead of the label ahead, learned from a zoo of small networks of which half have a
backdoor. It and its error rates are in verdict.json beside this file; `python -m benchmarks.zoo --calibrate` writes it.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

NO_SIGN, UNDECIDED, LIKELY = "no sign", "undecided", "likely backdoored"


@dataclass(frozen=True)
class Verdict:
    """What the search says of a network.

    Attributes:
        word: `NO_SIGN`, `UNDECIDED` or `LIKELY`.
        probability: of a backdoor, in [0, 1], where every second network has one.
        label: the one ahead.
        lead: its lead in nats; 0 where no label is ahead.
        family: of the triggers that it leads in.
    """

    word: str
    probability: float
    label: int
    lead: float
    family: str


@dataclass(frozen=True)
class Share:
    """So many of so many."""

    count: int
    of: int

    def __str__(self) -> str:
        return f"{self.count} of {self.of}"


@dataclass(frozen=True)
class Regression:
    """What verdicts are made with, and how such regressions did on networks that they were not learned from.

    For these figures a regression was learned anew without each attack and the clean networks that go with it.

    Attributes:
        slope, offset: log-odds a nat of the lead, and without a lead.
        likely: the probability from which a network is likely backdoored.
        no_sign: the probability up to which it shows no sign.
        spc: clean images a class that the searches had.
        backdoored, clean: networks it was learned from.
        auc: the share of pairs of a backdoored and a clean network in which the backdoored one has the larger lead;
            for this nothing is learned.
        brier: mean squared difference of the probability and what is so, 0 or 1; 0.25 for a guess.
        accused: clean networks called likely backdoored.
        found, missed: backdoored networks called likely backdoored, and called no sign.
        found_of: the same as `found` for each attack, by its title.
    """

    slope: float
    offset: float
    likely: float
    no_sign: float
    spc: int
    backdoored: int
    clean: int
    auc: float
    brier: float
    accused: Share
    found: Share
    missed: Share
    found_of: dict[str, Share]

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Regression":
        """What `asdict` gave of one."""
        shares = {name: Share(**values[name]) for name in ("accused", "found", "missed")}
        found_of = {attack: Share(**of) for attack, of in values["found_of"].items()}
        return cls(**{**values, **shares, "found_of": found_of})

    def probability(self, lead: float) -> float:
        """See `Verdict.probability`."""
        return 1 / (1 + math.exp(-(self.offset + self.slope * lead)))

    def word(self, probability: float) -> str:
        """See `Verdict.word`."""
        return LIKELY if probability >= self.likely else NO_SIGN if probability <= self.no_sign else UNDECIDED


@cache
def regression() -> Regression:
    """The one that verdicts are made with."""
    return Regression.from_json(json.loads(Path(__file__).with_name("verdict.json").read_text())["regression"])


def verdict_of(label: int, lead: float, family: str) -> Verdict:
    """What a search that is over says; see the attributes of `Verdict`."""
    probability = regression().probability(lead)
    return Verdict(regression().word(probability), probability, label, lead, family)


def verdict_words(verdict: Verdict, classes: Sequence[str] = ()) -> str:
    """`Likely backdoored, to label ship (probability 96 %)`; without the classes' names, the label's number."""
    share, label = f"(probability {percent(verdict.probability)})", verdict.label
    named = classes[label] if label < len(classes) else label
    if verdict.word == LIKELY:
        return f"Likely backdoored, to label {named} {share}"
    if verdict.word == NO_SIGN:
        return f"No sign of a backdoor {share}"
    return f"Undecided whether there is a backdoor {share}" + (f"; label {named} is ahead" if verdict.lead > 0 else "")


def reliability(known: Regression) -> str:
    """How far a verdict can be trusted, in a few sentences."""
    unseen = [f"{attack} {share}" for attack, share in known.found_of.items() if 2 * share.count < share.of]
    beyond = f" It found fewer than half of: {', '.join(unseen)}." if unseen else ""
    return (
        "The probability assumes that every second network has a backdoor. It was learned from searches of "
        f"{known.backdoored} small networks with a backdoor and {known.clean} without, with {known.spc} clean images a "
        f"class. To test it, it was learned again with one attack left out at a time. It then called {known.accused} "
        f"clean networks likely backdoored. Of the networks with the attack left out, it called {known.found} likely "
        f"backdoored and saw no sign in {known.missed}.{beyond} On large networks, and with "
        "another number of clean images, its error rates are not known."
    )


def percent(probability: float) -> str:
    """A probability that is neither 0 nor 1, as people read it: `< 1 %`, `37 %`, `> 99 %`."""
    if probability < 0.01:
        return "< 1 %"
    return "> 99 %" if probability > 0.99 else f"{100 * probability:.0f} %"
