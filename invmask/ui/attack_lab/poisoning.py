"""The second step of the lab: target label, poisoning ratio, and a look at the poisoned training set."""

import json
from dataclasses import dataclass

import numpy as np
import streamlit as st

from invmask.attacks.training.poison_batches import LoopAttack
from invmask.data.registry import dataset_info
from invmask.errors import UserError
from invmask.ui.attack_lab import lab_choice
from invmask.ui.attack_lab.lab_choice import LabChoice
from invmask.ui.parts.samples import Picture, Sample, sample_grid
from invmask.ui.shell import shared_results
from invmask.ui.shell.names import count
from invmask.victims.small_victim import DATASETS, SmallVictim, missing_images, poisoned_images, training_images

POISONED_SHOWN = 2


def show(choice: LabChoice) -> None:
    """Draw the choices."""
    st.subheader("2 The poison", anchor=False)
    classes = dataset_info(choice.dataset).classes
    st.session_state.update({"lab-data": choice.dataset, "lab-target": choice.target, "lab-ratio": choice.ratio})
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.selectbox(
            "Images",
            DATASETS,
            key="lab-data",
            width=170,
            format_func=lambda name: dataset_info(name).title,
            on_change=lambda: lab_choice.set_word("data", st.session_state["lab-data"], DATASETS[0]),
        )
        st.selectbox(
            "Target label",
            range(len(classes)),
            key="lab-target",
            width=170,
            format_func=lambda label: classes[label],
            on_change=lambda: lab_choice.set_word("target", st.session_state["lab-target"], 0),
            help="What the network shall answer wherever it sees the trigger.",
        )
    st.select_slider(
        "Poisoning ratio",
        lab_choice.RATIOS,
        key="lab-ratio",
        format_func=lambda ratio: f"{ratio} %",
        on_change=lambda: lab_choice.set_word("ratio", st.session_state["lab-ratio"], lab_choice.FIRST["ratio"]),
        help="The share of the training images that get the trigger and the target label.",
    )


def show_images(spec: SmallVictim | None, problem: str | None) -> None:
    """Draw some images of the poisoned training set: poisoned ones before and after, and untouched ones.

    Args:
        problem: why there is no specification, as a sentence.
    """
    st.subheader("The poisoned training set", anchor=False)
    sentence = problem if spec is None else missing_images(spec)
    if spec is None or sentence is not None:
        st.info(sentence or "")
        return
    try:
        found = _images(json.dumps(spec.as_json()))
    except (UserError, ValueError) as error:
        st.error(str(error))
        return
    classes = dataset_info(spec.dataset).classes
    samples = [
        Sample(
            f"{classes[true]} → {classes[spec.target_label]}",
            (Picture(before, "before"), Picture(after, "poisoned")),
        )
        for before, after, true in zip(found.before, found.after, found.true, strict=True)
    ]
    sample_grid(samples, 72)
    each_batch = isinstance(spec.plan_attack(), LoopAttack)
    st.caption(
        f"{count(found.poisoned)} of {count(spec.images)} training images carry the trigger and the label "
        f"{classes[spec.target_label]}; above are some, before and after. The other "
        f"{count(spec.images - found.poisoned)} stay as they are."
        + (" This attack draws the poisoned images anew for every batch." if each_batch else "")
    )


@dataclass(frozen=True)
class _Found:
    """Some poisoned images.

    Attributes:
        before, after: uint8 [N, H, W, C].
        true: their true labels.
        poisoned: number of all poisoned images.
    """

    before: np.ndarray
    after: np.ndarray
    true: list[int]
    poisoned: int


@shared_results.copied()
def _images(spec_json: str) -> _Found:
    spec = SmallVictim.from_json(json.loads(spec_json))
    clean, poisoned = training_images(spec), poisoned_images(spec)
    chosen = np.flatnonzero(poisoned.poisoned)
    # Evenly spread, and so of several classes.
    shown = chosen[np.linspace(0, len(chosen) - 1, min(POISONED_SHOWN, len(chosen))).round().astype(int)]
    return _Found(clean.pixels[shown], poisoned.images.pixels[shown], clean.labels[shown].tolist(), len(chosen))
