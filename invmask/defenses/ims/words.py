"""What IMS says of itself, and of a run, to people."""

import math

from invmask.defenses.base import Record
from invmask.defenses.entry import Capabilities, Course, Stage, Term
from invmask.defenses.ims.config import Phase

CAPABILITIES = Capabilities(channels=True, triggers=True, cuts=True, invertible=True)

DETAILS = (
    "A round makes perturbations of the clean images that fool the network (from the second phase on), then moves "
    "every channel's mask and selection a little. A phase ends after its last round, or earlier without progress. "
    "Initialise may begin with a **race**: every label has a mask of its own, and the phase goes on with the one whose "
    "mean loss is lowest. A backdoor's label often leads by a nat (the unit of the losses) or more; a small lead says "
    "little, and with few clean images so does a large one. A label that leads by enough among enough images is **held "
    "to**, right or wrong: to the end, the perturbations shall lead there, and so shall the channels cut (in "
    "transformers only during Initialise)."
)

PRESET_WORDS = {
    "default": "ours, chosen by measurement for speed and for what it keeps.",
    "adaptive": "presses as hard as the clean answers allow, for networks that default leaves fooled.",
    "paper": "the published settings, to the letter.",
}

STAGES = (
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
        "new perturbations, then one step on mask and selection",
    ),
    Stage(
        Phase.SPARSIFY,
        "Sparsify",
        "Spars.",
        "The same, while channels that are not needed for it are left alone again.",
        "new perturbations, then one step that also presses for few channels",
    ),
)

_SECOND = "the second phase"
TERMS = {
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
        "Low when the inverse view answers a perturbed image unlike the original the clean one.",
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
        "Low when the channels cut so far, turned up, lead the clean images to the label that won the race or, while "
        "it lasts, is ahead.",
    ),
    "sparsity": Term(
        "Share selected, mean(1 − s)",
        "How much of the network is selected: 0 none of it, 1 all of it.",
        share=True,
        view="selected",
    ),
    "pressure": Term(
        "Share kept by the pruned view, mean(m)",
        "How much of the network the pruned view keeps; minimised only where the pressure is above 0.",
        share=True,
        view="pruned",
    ),
}

AXES: dict[str, tuple[float, ...]] = {
    "sparsity_weight": (0, 0.1, 0.2, 0.5, 1, 2, 5, 10),
    "steepness": (5, 10, 20, 40, 80),
    "norm_bound": (0.03, 0.1, 0.3, 1),
}


def now(course: Course) -> str | None:
    """Of the label that the first phase looks for, or of when the phase ends."""
    last = course.records[-1] if course.records else None
    if last is None or course.stage != Phase.INITIALISE:
        label = None if last is None or not last.notes["held"] else last.notes["label"]
        held = "" if label is None else f"Held to {course.classes[label]}. "
        return held + _phase_end(course)
    if last.notes["racing"] and last.notes["label"] is not None and last.round_in_stage < course.config.label_rounds:
        by = "" if last.notes["lead"] is None else f", by {_nats(last.notes['lead'])} nats"
        name = course.classes[last.notes["label"]]
        return f"Labels race: {name} is ahead of the {last.notes['racing']} that are left{by}."
    ended = found(course)
    if ended and "turned up" in last.terms and not last.notes["racing"]:
        return f"{ended} The channels cut shall lead there when they are turned up."
    return ended or _phase_end(course)


def found(course: Course) -> str | None:
    """How the race of labels ended; None where it did not, or there was none."""
    config, last = course.config, _last_of_race(course)
    if last is None or last.notes["label"] is None or last.round_in_stage < config.label_rounds:
        return None
    name, lead = course.classes[last.notes["label"]], last.notes["lead"]
    if lead < config.label_lead:
        return f"No label won the race: {name} led by {_nats(lead)} of the {config.label_lead:g} nats asked for."
    held = ", and is held to" if last.notes["held"] else ""
    if not held and 0 < config.hold_lead <= lead and course.images < config.hold_images:
        held = ", but among too few images to be held to"
    return f"The label {name} won the race, by {_nats(lead)} nats{held}."


def _last_of_race(course: Course) -> Record | None:
    return next((record for record in reversed(course.records) if record.notes["racing"]), None)


def _phase_end(course: Course) -> str:
    last = course.records[-1] if course.records else None
    here = last is not None and last.stage == course.stage
    stalled = last.notes["rounds without progress"] if last is not None and here else 0
    most, patience = course.config.rounds(course.stage), course.config.patience
    without = f"more than {patience:,} without progress ({stalled:,} so far)"
    return f"The phase ends after {most:,} rounds, or after {without}."


def _nats(lead: float) -> str:
    # Rounded down: what just misses a bound shall not look as if it met it.
    return f"{math.floor(100 * lead) / 100:.2f}"
