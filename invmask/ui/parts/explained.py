"""'Explain' beside every figure: what it shows, how to read it, and the formula behind it."""

from dataclasses import dataclass

import streamlit as st

from invmask.glossary import GLOSSARY

_WIDTH = 420


@dataclass(frozen=True)
class Explained:
    """The explanation of a figure.

    Attributes:
        shows: what it shows, one sentence.
        read: how to read it.
        words: entries of the glossary whose formulas belong to it.
        formula: a formula of its own, in LaTeX.
    """

    shows: str
    read: str
    words: tuple[str, ...] = ()
    formula: str = ""


_CUTS = Explained(
    "ACC, ASR and RA when more and more channels are cut for good.",
    "To the right, more channels are cut. Look for the place where ASR has fallen and ACC has not: there the cut "
    "takes the backdoor alone. The upright line is the cut chosen now.",
    ("acc", "asr", "ra"),
)
_AGREE = r"\text{agree}(p,p')=-\log\textstyle\sum_c p_c\,p'_c,\qquad\text{disagree}(p,p')=-\log(1-\sum_c p_c\,p'_c)"
_KL = r"\text{KL}(p'\,\|\,p)=\textstyle\sum_c p'_c\log\frac{p'_c}{p_c}"

EXPLAINED = {
    "defend-map": Explained(
        "Every channel of the network, by layer.",
        "Each square is a channel. Choose what the colour says: how much it is selected, or what a view multiplies "
        "it by. Channels that are dark for the pruned view are those that it cuts.",
        ("mask", "gate", "inverse gate"),
    ),
    "defend-synthesized": Explained(
        "Clean images, and the triggers that the defence put on them in this round.",
        "Under each image are the answers of the views. The original is led to another label; a good pruned view is "
        "not.",
    ),
    "defend-candidates": Explained(
        "The smallest trigger that the search has found for each label.",
        "One label with a far smaller trigger than all others is a sign of a backdoor to it. If all are alike, there"
        " is no such sign.",
        ("lead",),
    ),
    "defend-measures": Explained(
        "ACC, ASR and RA of the views after every round.",
        "In a good run the pruned line of ASR falls while its ACC stays, and the inverse lines do the opposite. "
        "Upright lines: a new stage begins.",
        ("acc", "asr", "ra"),
    ),
    "defend-losses": Explained(
        "The terms that each round makes smaller.",
        "A term near 0 is fulfilled. Terms pull against each other: one may rise while the sum falls.",
        formula=_AGREE + r"\\" + _KL,
    ),
    "defend-labels": Explained(
        "How many images the synthesized triggers lead to each label.",
        "If nearly all go to one label, the defence learns against triggers of that label.",
    ),
    "defend-inner": Explained(
        "How well the synthesized triggers work, over the rounds.",
        "They should fool the original, and the inverse view in the same way. Against the pruned view they should "
        "fail more and more.",
    ),
    "defend-layers": Explained(
        "How many channels of each layer are selected, cut in the pruned view, or cut in the inverse view.",
        "Long bars show where in the network the defence works. A channel counts from one half on.",
        ("gate", "inverse gate"),
    ),
    "flip-samples": Explained(
        "The same test images under the view that is chosen.",
        "Flip the view: the images stay in place, and only the answers change.",
        ("gate", "inverse gate"),
    ),
    "flip-probabilities": Explained(
        "How sure each view is of each class, for the image picked.",
        "The longest bar is the answer. Compare the bar of the target label with that of the true class.",
        formula=r"p_c=\frac{e^{z_c}}{\sum_j e^{z_j}}",
    ),
    "neurons-top": Explained(
        "ACC, ASR and RA when the first channels of a ranking are cut from the original network.",
        "If the ranking finds the backdoor, the blue line of ASR falls after a few channels. The grey band is what "
        "as many random channels of the same layers do.",
        ("acc", "asr", "ra"),
    ),
    "neurons-map": Explained(
        "Every channel of the network by layer, coloured by what you choose.",
        "Score, selection and gates are what the run believes. All else is evidence that does not depend on the run."
        " A cross: the channel is cut now.",
        ("gate", "inverse gate"),
    ),
    "neurons-agreement": Explained(
        "How many of the top channels by score are also at the top by other evidence.",
        "A bar that is far longer than its grey part cannot be chance.",
    ),
    "neurons-history": Explained(
        "Mask, selection and both gates of this channel after every round.",
        "Where the selection stays at 1, both gates are 1 and the channel is left alone.",
        ("mask", "gate", "inverse gate"),
    ),
    "neurons-channel-maps": Explained(
        "What this channel answers to each image, place by place.",
        "Teal is positive, magenta negative. A channel of the backdoor lights up where the trigger is.",
    ),
    "neurons-whatif": Explained(
        "Images, with the original's answer and the pruned view's answer as channels are cut now.",
        "Cut or restore channels above, and see which answers change.",
        ("gate",),
    ),
    "tune-cuts": _CUTS,
    "tune-pin": _CUTS,
    "tune-sweep": Explained(
        "ACC, ASR and RA of finished runs against one setting.",
        "Each point is the mean over seeds; its bar is the spread. Overlapping bars are no clear difference.",
        ("acc", "asr", "ra"),
        r"\bar x=\tfrac1n\textstyle\sum_i x_i,\qquad s=\sqrt{\tfrac1{n-1}\sum_i(x_i-\bar x)^2}",
    ),
    "results-map": Explained(
        "A view's ACC, ASR and RA for every victim and data budget.",
        "One row a victim, one column a budget. In the pruned view, ASR should be near 0 and ACC and RA near those "
        "of the original. Click a cell for its runs.",
        ("acc", "asr", "ra"),
    ),
    "start-trigger": Explained(
        "Test images without and with the attacker's trigger, and the network's answers.",
        "The right picture of each sample is what the trigger changes.",
        ("asr",),
    ),
}
"""Explanations by the name of a figure, or by its beginning."""


def explanation(name: str) -> Explained | None:
    """The explanation of the figure of this name; None if there is none."""
    known = [start for start in EXPLAINED if name == start or name.startswith(f"{start}-")]
    return EXPLAINED[max(known, key=len)] if known else None


def explain(name: str) -> None:
    """Draw the button, if the figure is explained. What it shows is sent when it is opened."""
    found = explanation(name)
    if found is None:
        return
    popover = st.popover(
        "Explain",
        icon=":material/help:",
        type="tertiary",
        key=f"explain-{name}",
        on_change="rerun",
        help="What this figure shows, and how to read it.",
    )
    if popover.open:
        with popover, st.container(width=_WIDTH):
            _show(found)


def _show(found: Explained) -> None:
    st.markdown(f"**What it shows.** {found.shows}")
    st.markdown(f"**How to read it.** {found.read}")
    formulas = [GLOSSARY[word].formula for word in found.words] + [found.formula]
    if any(formulas):
        with st.expander("The formula"):
            for word in found.words:
                st.caption(f"{GLOSSARY[word].title}: {GLOSSARY[word].text}")
                st.latex(GLOSSARY[word].formula)
            if found.formula:
                st.latex(rf"\begin{{gathered}}{found.formula}\end{{gathered}}")
