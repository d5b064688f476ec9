"""The first step of the lab: draw a trigger, upload a picture, or choose a published one."""

import numpy as np
import streamlit as st

from invmask.attacks.registry import ATTACKS
from invmask.data.uploaded import ENDINGS, MOST_BYTES, as_trigger, read_picture
from invmask.errors import UserError
from invmask.ui.attack_lab import lab_choice
from invmask.ui.attack_lab.lab_choice import DRAWN, PICTURE, SQUARE, LabChoice
from invmask.ui.parts.trigger_editor import trigger_editor
from invmask.ui.shell import drawing_in_address
from invmask.victims.small_victim import LAB_ATTACKS

PUBLISHED = tuple(name for name in LAB_ATTACKS if name not in (DRAWN, PICTURE))
_KINDS = {DRAWN: "Draw", PICTURE: "Upload", "published": "Published"}
_PICTURE_WORDS = {
    "size": ("Size", 1, "The picture's longer side, in per cent of the image's side."),
    "x": ("Left to right", 0, "0 is the image's left edge, 100 the right one."),
    "y": ("Top to bottom", 0, "0 is the image's upper edge, 100 the lower one."),
    "opacity": ("Opacity", 1, "100 hides the image under the picture; less lets it shine through."),
}
_PROBLEM = "lab/upload-problem"


def show(choice: LabChoice, example: np.ndarray) -> None:
    """Draw the choice of the trigger.

    Args:
        example: uint8 [H, W, C], an image on which a drawn trigger is placed.
    """
    st.subheader("1 The trigger", anchor=False)
    kind = choice.trigger if choice.trigger in _KINDS else "published"
    st.session_state["lab-kind"] = kind
    st.segmented_control(
        "Where it comes from",
        list(_KINDS),
        key="lab-kind",
        required=True,
        format_func=lambda name: _KINDS[name],
        on_change=lambda: lab_choice.set_trigger(
            SQUARE if st.session_state["lab-kind"] == "published" else st.session_state["lab-kind"]
        ),
        help="Draw one, upload a small picture, or take one from the literature.",
    )
    if kind == DRAWN:
        st.caption("Paint the pattern. Then drag it to its place on the picture, or use the arrow keys.")
        trigger_editor(choice.drawing, example, drawing_in_address.write, "lab-editor")
    elif kind == PICTURE:
        _upload(choice)
    else:
        _published(choice)


def _upload(choice: LabChoice) -> None:
    def uploaded() -> None:
        file = st.session_state["lab-upload"]
        if file is None:
            return
        try:
            lab_choice.set_picture(as_trigger(read_picture(file.getvalue())))
        except UserError as error:
            st.session_state[_PROBLEM] = str(error)

    st.file_uploader(
        "Picture for the trigger",
        list(ENDINGS),
        key="lab-upload",
        on_change=uploaded,
        max_upload_size=MOST_BYTES >> 20,
        help="PNG, JPEG or WebP. It is reduced to at most 24×24 pixels; transparent parts stay transparent.",
    )
    if (problem := st.session_state.pop(_PROBLEM, None)) is not None:
        st.error(problem)
    columns = st.columns(2)
    for number, (name, (title, least, words)) in enumerate(_PICTURE_WORDS.items()):
        key = f"lab-picture-{name}"
        st.session_state[key] = choice.placed[name]
        columns[number % 2].slider(
            f"{title} (%)",
            least,
            100,
            key=key,
            help=words,
            on_change=_take_over,
            args=(name, key, lab_choice.FIRST_PICTURE[name]),
        )


def _published(choice: LabChoice) -> None:
    st.session_state["lab-published"] = choice.trigger
    st.selectbox(
        "Attack",
        PUBLISHED,
        key="lab-published",
        format_func=lambda name: ATTACKS[name].title,
        on_change=lambda: lab_choice.set_trigger(st.session_state["lab-published"]),
        help="SSBA and IAB are missing: their triggers are made by networks, whose training takes too long here. "
        "The command `train` makes such victims.",
    )
    attack = ATTACKS[choice.trigger]
    if choice.trigger == SQUARE:
        st.session_state["lab-square"] = choice.square
        st.slider(
            "Side of the square (pixels)",
            1,
            lab_choice.MOST_SQUARE,
            key="lab-square",
            on_change=_take_over,
            args=("size", "lab-square", ATTACKS[SQUARE].size),  # type: ignore[attr-defined]
        )
    st.caption(attack.explanation + ("" if attack.paper is None else f" [{attack.paper}]({attack.paper.url})"))


def _take_over(name: str, key: str, first: object) -> None:
    lab_choice.set_word(name, st.session_state[key], first)
