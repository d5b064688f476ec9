"""What IMS says of itself, and of a run, to people."""

import math
from collections.abc import Mapping
from typing import Any

from invmask.defenses.entry import Capabilities, Course, Stage, Term
from invmask.defenses.family_texts import FAMILY_WORDS
from invmask.defenses.ims.config import PRESETS, IMSConfig, Phase
from invmask.defenses.verdict import Verdict, verdict_of

CAPABILITIES = Capabilities(channels=True, triggers=True, cuts=True, invertible=True, searches=True)

DETAILS = (
    "`default` first **searches**: for every label it looks for the smallest synthesized trigger that leads clean "
    "images there, in four families (a patch, a smooth change, a warp, and channels turned up). A backdoor's label "
    "needs a far smaller one than the others. Its **lead** tells how much larger the next "
    "label's trigger is, as a logarithm (in nats): 0.7 means twice as large. Then each round adapts the triggers so "
    "that they fool the pruned view too, and changes every channel's mask and selection a little. A stage ends after "
    "its last round, or earlier if there is no progress."
)

PRESET_WORDS = {
    "default": "ours: a search for the label and the trigger, then a mask that withstands them.",
    "paper": "the published settings, to the letter.",
}

STAGES = (
    Stage(
        Phase.SEARCH,
        "Search",
        "Search",
        "Look for the smallest trigger of every label: a backdoor's label needs a far smaller one than the others.",
        "a few steps of every label's synthesized trigger",
    ),
    Stage(
        Phase.INITIALISE,
        "Initialise",
        "Init.",
        "Split the channels: the pruned view has to answer clean images as before, the inverse must not.",
        "one step on mask and selection, from clean images alone",
    ),
    Stage(
        Phase.MINIMISE,
        "Minimise",
        "Min.",
        "Make small changes to the clean images that fool the network; the pruned view learns to withstand them.",
        "perturbations, then one step on mask and selection",
    ),
    Stage(
        Phase.SPARSIFY,
        "Sparsify",
        "Spars.",
        "As in Minimise, but channels that are not needed are no longer selected and stay as they were.",
        "perturbations, then one step that also lowers the number of selected channels",
    ),
)

_SECOND = "the stage Minimise"
TERMS = {
    "led": Term(
        "Smallest trigger leads, search",
        "Low when the smallest synthesized trigger of the label ahead leads all other images to that label.",
    ),
    "pruned clean": Term(
        "Pruned agrees, clean", "Low when the pruned view answers clean images as the original does.", view="pruned"
    ),
    "inverse clean": Term(
        "Inverse disagrees, clean",
        "Low when the inverse view answers clean images unlike the original.",
        view="inverse",
    ),
    "pruned perturbed": Term(
        "Pruned restores, perturbed",
        "Low when the pruned view answers a perturbed image as the original answers the clean one.",
        view="pruned",
        since=_SECOND,
    ),
    "inverse perturbed": Term(
        "Inverse disagrees, perturbed",
        "Low when the inverse view answers a perturbed image differently from how the original answers the clean one.",
        view="inverse",
        since=_SECOND,
    ),
    "inverse agrees perturbed": Term(
        "Inverse follows, perturbed",
        "Low when the inverse view falls for a perturbation just as the original does.",
        view="inverse",
        since=_SECOND,
    ),
    "turned up": Term(
        "Cut channels turned up, one label",
        "Low when turning up the channels cut so far leads the clean images to the label that stands out.",
    ),
    "sparsity": Term(
        "Share selected, mean(1 − s)",
        "How much of the network is selected: 0 none of it, 1 all of it.",
        share=True,
        view="selected",
    ),
}

_OF_THE_SEARCH = ("rounds_search", "search_steps", "search_images")

AXES: dict[str, tuple[float, ...]] = {
    "sparsity_weight": (0, 0.1, 0.2, 0.5, 1, 2, 5, 10),
    "steepness": (5, 10, 20, 40, 80),
    "weight_pruned_clean": (1, 2, 4, 8, 16),
}


def now(course: Course) -> str | None:
    """Of what the search is at, or of when the phase ends."""
    if course.stage == Phase.SEARCH:
        return _searching(course)
    return " ".join(sentence for sentence in (found(course), _phase_end(course)) if sentence)


def found(course: Course) -> str | None:
    """Which label stands out, and by how much; None where nothing was searched, or the search goes on."""
    last = course.records[-1] if course.records else None
    if last is None or course.stage == Phase.SEARCH or "lead" not in last.notes:
        return None
    name, lead = course.classes[last.notes["label"]], last.notes["lead"]
    if not last.notes["stands out"]:
        return f"No label stands out: {name} leads by {_nats(lead)} nats, but {course.config.clear_lead:g} are needed."
    family = FAMILY_WORDS[last.notes["family"]].title
    return f"The label {name} stands out: its trigger is a {family}, and its lead is {_nats(lead)} nats."


def verdict(config: IMSConfig, stage: str, notes: Mapping[str, Any]) -> Verdict | None:
    """What the search says once it is over.

    None before, without a search, and after one with other rounds, steps or images than verdicts were learned from.
    """
    asked, usual = ([getattr(of, name) for name in _OF_THE_SEARCH] for of in (config, PRESETS["default"]))
    if stage == Phase.SEARCH or "lead" not in notes or asked != usual:
        return None
    return verdict_of(notes["label"], notes["lead"], notes["family"])


def _searching(course: Course) -> str:
    last = course.records[-1] if course.records else None
    if last is None or "lead" not in last.notes:
        return "The search begins with a small patch for every label."
    name, family = course.classes[last.notes["label"]], FAMILY_WORDS[last.notes["family"]].title
    return f"So far {name} has the largest lead: {_nats(last.notes['lead'])} nats, with a {family}."


def _phase_end(course: Course) -> str:
    last = course.records[-1] if course.records else None
    here = last is not None and last.stage == course.stage
    stalled = last.notes["rounds without progress"] if last is not None and here else 0
    most, patience = course.config.rounds(course.stage), course.config.patience
    without = f"more than {patience:,} without progress ({stalled:,} so far)"
    return f"The stage ends after {most:,} rounds, or after {without}."


def _nats(lead: float) -> str:
    # Rounded down: what just misses a bound shall not look as if it met it.
    return f"{math.floor(100 * lead) / 100:.2f}"
