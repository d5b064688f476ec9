"""The words of invmask, each explained once. Help texts on screen and docs/glossary.md are made from them.

`python -m invmask.glossary > docs/glossary.md` writes the page of the manual.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby


@dataclass(frozen=True)
class Term:
    """One word.

    Attributes:
        title: how it is written on screen, with its full name.
        group: the heading that it is under in the manual.
        text: what it means, in plain text: one or a few sentences.
        formula: in LaTeX; empty if there is none.
    """

    title: str
    group: str
    text: str
    formula: str = ""


_ATTACK, _MASK, _RUN, _MEASURES = "The attack", "The mask", "A run", "The measures"

GLOSSARY: Mapping[str, Term] = {
    "victim": Term("Victim", _ATTACK, "The model under test. All pages look at the same one."),
    "backdoor": Term(
        "Backdoor",
        _ATTACK,
        "Something that a network was taught beside its task: if a picture has the trigger, the network answers what"
        " the attacker wanted. On other pictures it answers as it should.",
    ),
    "trigger": Term(
        "Trigger", _ATTACK, "What the attacker puts on a picture so that the network answers with the target label."
    ),
    "target": Term(
        "Target label",
        _ATTACK,
        "The answer that the attacker wants for pictures with the trigger. In an all-to-all attack it is the next "
        "class.",
    ),
    "ratio": Term(
        "Poisoning ratio",
        _ATTACK,
        "Share of the training pictures that the attacker put the trigger on, and relabelled.",
    ),
    "control": Term(
        "Clean control",
        _ATTACK,
        "A network without a backdoor, trained in the same way. It shows what a false alarm is.",
    ),
    "unknown": Term(
        "Unknown attack",
        _ATTACK,
        "Of a model of one's own, nobody knows a trigger, or whether there is one. It has no ASR and no RA. The "
        "verdict says how likely a backdoor is.",
    ),
    "channel": Term(
        "Channel",
        _MASK,
        "One of the outputs of a layer; for a picture, it has a value at each place (its feature map). Masks act on "
        "whole channels.",
    ),
    "mask": Term(
        "Mask a",
        _MASK,
        "A number from 0 to 1 for each channel. It says which side of the split a channel belongs to: 1 is the side "
        "that the pruned view keeps, 0 the side that the inverse view keeps.",
        r"q(a)=\sigma\left(k\,(a-\tfrac12)\right),\quad k=20",
    ),
    "selection": Term(
        "Selection s",
        _MASK,
        "A number from 0 to 1 for each channel. At 1 the channel is not selected, and both views leave it alone. At "
        "0 the mask decides.",
    ),
    "gate": Term(
        "Pruned gate m",
        _MASK,
        "The factor of a channel in the pruned view: 1 lets it pass, 0 cuts it. It is also called the effective mask.",
        r"m=q(a)+s\,(1-q(a))",
    ),
    "inverse gate": Term(
        "Inverse gate m̄",
        _MASK,
        "The factor of a channel in the inverse view. What one view cuts of a selected channel, the other keeps.",
        r"\bar m=q(1-a)+s\,(1-q(1-a)),\qquad m+\bar m=1+s",
    ),
    "original": Term("Original view", _MASK, "The victim as it came."),
    "pruned": Term(
        "Pruned view",
        _MASK,
        "The network with every channel multiplied by m: without the channels that the defence holds responsible for"
        " the backdoor.",
    ),
    "inverse": Term(
        "Inverse view",
        _MASK,
        "The network with every channel multiplied by m̄. It keeps what the pruned view cuts, and cuts the other "
        "channels that the defence selected. This should leave the backdoor alone in sight.",
    ),
    "score": Term(
        "Channel score",
        _MASK,
        "How much a cut channel adds to the backdoor's label: turned up instead of cut, the cut channels draw clean "
        "images to one label. It is 0 for a channel that is not cut.",
    ),
    "run": Term(
        "Run",
        _RUN,
        "One defence of one victim, from its settings to its last round. Everyone who opens this dashboard sees the "
        "same runs.",
    ),
    "stage": Term("Stage", _RUN, "A part of a run with one aim: search, initialise, minimise, sparsify."),
    "round": Term(
        "Round", _RUN, "One step of a run. Its record, masks and examples are kept, so that you can go back to it."
    ),
    "spc": Term(
        "SPC, samples per class",
        _RUN,
        "How many clean images of each class the defender holds. They come from the training set, never from the "
        "images that the results are measured on.",
    ),
    "seed": Term("Seed", _RUN, "A number that decides all random choices, such as which clean images are drawn."),
    "synthesized": Term(
        "Synthesized trigger",
        _RUN,
        "A change of clean images that the defence makes itself, in place of the attacker's trigger, which it does "
        "not know.",
    ),
    "lead": Term(
        "Lead",
        _RUN,
        "How much larger a trigger the next label needs than the label ahead, as a logarithm (in nats): 0.7 means "
        "twice as large.",
        r"\text{lead}=\log\frac{\text{size of the second smallest trigger}}{\text{size of the smallest trigger}}",
    ),
    "verdict": Term(
        "Verdict", _RUN, "How likely the network has a backdoor, and to which label, judged by the lead of the search."
    ),
    "acc": Term(
        "ACC, clean accuracy",
        _MEASURES,
        "Share of clean test images that are answered with their true class.",
        r"\text{ACC}=\frac{\#\{\text{clean images answered with their true class}\}}{\#\{\text{clean images}\}}",
    ),
    "asr": Term(
        "ASR, attack success rate",
        _MEASURES,
        "Share of triggered test images, taken from all classes but the target, that are answered with the target "
        "label (all-to-all: of all images, with the next class).",
        r"\text{ASR}=\frac{\#\{\text{triggered images answered with the target}\}}{\#\{\text{triggered images}\}}",
    ),
    "ra": Term(
        "RA, recovery accuracy",
        _MEASURES,
        "Share of the same triggered images that are answered with their true class despite the trigger.",
        r"\text{RA}=\frac{\#\{\text{triggered images answered with their true class}\}}{\#\{\text{triggered images}\}}",
    ),
    "der": Term(
        "DER, defence effectiveness rating",
        _MEASURES,
        "Weighs the drop of ASR against the drop of ACC: 100 % for a backdoor that is gone at no cost, 50 % for a "
        "network left as it is.",
        r"\text{DER}=\tfrac{1}{2}\left(\max(0,\Delta\text{ASR})-\max(0,\Delta\text{ACC})+1\right)",
    ),
    "probe": Term(
        "Probe",
        _MEASURES,
        "The test images on which the views are measured after every round. The defence never sees them.",
    ),
}


def text(word: str) -> str:
    """What a word means, as plain text."""
    return GLOSSARY[word].text


def hint(*words: str) -> str:
    """A help text, as Markdown, that explains these words."""
    return "\n\n".join(f"**{GLOSSARY[word].title}**: {GLOSSARY[word].text}" for word in words)


def as_markdown() -> str:
    """The page of the manual."""
    parts = [
        "# Glossary",
        "<!-- Made from invmask/glossary.py by `python -m invmask.glossary`; change it there. -->",
        "The help texts of the dashboard say the same.",
    ]
    for group, terms in groupby(GLOSSARY.values(), key=lambda term: term.group):
        parts.append(f"## {group}")
        for term in terms:
            parts.append(f"**{term.title}**: {term.text}")
            if term.formula:
                parts.append(f"```{{math}}\n{term.formula}\n```")
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    print(as_markdown(), end="")
