"""What is said of a victim without a trigger: of a clean control, and of a network of which no trigger is known.

The two must not be confused. A control has no backdoor; of the other nobody knows.
"""

from invmask.victims.victim import VictimCard

NO_BACKDOOR = "This network was trained without a backdoor, so there is no trigger: ASR and RA do not exist."
NOT_KNOWN = (
    "Nobody has a trigger for this network, so ASR and RA cannot be measured. Whether it has a backdoor is for the "
    "verdict to say."
)
AGREEMENT = (
    "The true classes of these images are not known, so there is no ACC either. Where ACC is written, it is agreement: "
    "the share of images that a view answers as the original network does."
)


def no_rates(card: VictimCard) -> str:
    """Why there is no ASR and no RA of this victim, in a sentence or two; it has no trigger."""
    return NOT_KNOWN if card.is_unknown else NO_BACKDOOR


def shortly(card: VictimCard) -> str:
    """The same in a few words, as the rest of a sentence about the victim."""
    return "no trigger known" if card.is_unknown else "no backdoor"


def missing(card: VictimCard) -> list[str]:
    """All sentences about measures that this victim does not have; empty for one with trigger and labels."""
    sentences = [] if card.targets is not None else [no_rates(card)]
    return sentences if card.dataset_info.labelled else [*sentences, AGREEMENT]
