"""Attack lab: be the attacker first. Make a trigger, poison a training set, and train a small victim."""

import numpy as np
import streamlit as st

from invmask.data.images import LabelledImages
from invmask.errors import UserError
from invmask.ui.attack_lab import curves, lab_choice, made_before, poisoning, training, trigger
from invmask.ui.shell import address, cache


def _example(images: LabelledImages, target: int) -> np.ndarray:
    """An image to place the trigger on, uint8 [H, W, C], of another class than the target."""
    return images.pixels[int(np.flatnonzero(images.labels != target)[0])]


def _page() -> None:
    address.current_victim()
    st.title("Attack lab", anchor=False)
    st.write(
        "Put a backdoor into a small network, to know what a defence is up against. For study and defence: small "
        "images and small networks only."
    )
    choice = lab_choice.read()
    try:
        spec, problem = choice.spec(), None
    except UserError as error:
        spec, problem = None, str(error)
    left, right = st.columns([9, 11], gap="large")
    with left:
        trigger.show(choice, _example(cache.test_images(choice.dataset), choice.target))
        poisoning.show(choice)
        training.show_settings(choice)
    with right:
        poisoning.show_images(spec, problem)
        training.show(spec)
    curves.show(spec)
    made_before.show()


_page()
