"""The pen on Flip: any trigger, or none, on any picture, and the answers of all views at once."""

from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
import streamlit as st
import torch
from torch import Tensor

from invmask.attacks.triggers.drawn import DrawnTrigger
from invmask.data.uploaded import ENDINGS, MOST_BYTES, as_image, read_picture
from invmask.errors import UserError
from invmask.figures.palette import VIEW_TITLES, Theme
from invmask.figures.probabilities import TARGET_MARK, TRUE_MARK, class_probabilities
from invmask.ui.flip import pen_choice
from invmask.ui.flip.pen_choice import DRAWN, NONE, OF_THE_VICTIM, PenChoice
from invmask.ui.parts.samples import Answer, Kind, Picture, Sample, sample_in_detail, to_pixels
from invmask.ui.parts.trigger_editor import trigger_editor
from invmask.ui.shell import cache, drawing_in_address, model_answers
from invmask.ui.shell.theme import chart, current_theme
from invmask.victims.victim import VictimCard

_TRIGGERS = {DRAWN: "Drawn", OF_THE_VICTIM: "The victim's", NONE: "None"}
_OWN, _PROBLEM, _UPLOAD = "pen/own", "pen/problem", "pen-upload"


@dataclass(frozen=True)
class _Chosen:
    """A picture to write on.

    Attributes:
        pixels: uint8 [H, W, C].
        label: its true class; None for an uploaded picture.
    """

    pixels: np.ndarray
    label: int | None


def show(card: VictimCard, run: str, masks: int | str) -> None:
    """Draw the pen. It is drawn by itself, so that an answer does not wait for the rest of the page.

    Args:
        masks: a round, or the name of masks made by hand.
    """
    st.fragment(_draw)(card, run, masks)


def _draw(card: VictimCard, run: str, masks: int | str) -> None:
    images = cache.test_images(card.dataset)
    first = int(np.flatnonzero(card.attacked(images.labels))[0])
    choice = pen_choice.read(card.targets is not None, len(images), first, card.dataset_info.shape)
    left, right = st.columns([9, 11], gap="large")
    with left:
        _choose(card, choice, len(images))
        chosen = _picture(card, choice)
        if choice.trigger == DRAWN:
            trigger_editor(choice.drawing, chosen.pixels, drawing_in_address.write, "pen-editor")
    image = _triggered(card, choice, chosen)
    with right:
        _answers(
            card, choice, chosen, image, model_answers.of_picture(run, masks, cache.victim_stamp(card.name), image)
        )


def _choose(card: VictimCard, choice: PenChoice, samples: int) -> None:
    st.session_state["pen-trigger"], st.session_state["pen-sample"] = choice.trigger, choice.sample
    st.segmented_control(
        "Trigger on the picture",
        [name for name in _TRIGGERS if name != OF_THE_VICTIM or card.targets is not None],
        key="pen-trigger",
        required=True,
        format_func=lambda name: _TRIGGERS[name],
        on_change=lambda: pen_choice.set_trigger(st.session_state["pen-trigger"]),
        help="Draw one, put the victim's own trigger on, or leave the picture as it is.",
    )
    own = st.session_state.get(_OWN) is not None
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.number_input(
            "Test picture",
            0,
            samples - 1,
            key="pen-sample",
            width=150,
            disabled=own,
            on_change=lambda: pen_choice.set_sample(int(st.session_state["pen-sample"])),
            help=f"One of the {samples:,} embedded test images, by its number.",
        )
        with st.popover("Your own picture", icon=":material/upload:"):
            st.file_uploader(
                "Picture",
                list(ENDINGS),
                key=_UPLOAD,
                on_change=_uploaded,
                args=(card.dataset_info.shape,),
                max_upload_size=MOST_BYTES >> 20,
                help="PNG, JPEG or WebP. Its middle square is reduced to the size of the victim's images. It stays in "
                "this session: a link does not hold it.",
            )
    if (problem := st.session_state.get(_PROBLEM)) is not None:
        st.error(problem)


def _uploaded(shape: tuple[int, int, int]) -> None:
    file, st.session_state[_PROBLEM], st.session_state[_OWN] = st.session_state[_UPLOAD], None, None
    if file is not None:
        try:
            st.session_state[_OWN] = as_image(read_picture(file.getvalue()), shape)
        except UserError as error:
            st.session_state[_PROBLEM] = str(error)


def _picture(card: VictimCard, choice: PenChoice) -> _Chosen:
    own, (channels, height, width) = st.session_state.get(_OWN), card.dataset_info.shape
    # It may have been uploaded for a victim with other images.
    if own is not None and own.shape == (height, width, channels):
        return _Chosen(own, None)
    images = cache.test_images(card.dataset)
    return _Chosen(images.pixels[choice.sample], int(images.labels[choice.sample]))


def _triggered(card: VictimCard, choice: PenChoice, chosen: _Chosen) -> Tensor:
    """The picture with its trigger, float32 [1, C, H, W] in [0, 1]."""
    image = torch.from_numpy(chosen.pixels.transpose(2, 0, 1)[None].copy()).float().div_(255)
    if choice.trigger == OF_THE_VICTIM and (attack := card.make_attack()) is not None:
        return attack.apply(image)
    if choice.trigger == DRAWN and choice.drawing.pixels:
        return DrawnTrigger(**choice.drawing.settings).apply(image)
    return image


def _answers(
    card: VictimCard, choice: PenChoice, chosen: _Chosen, image: Tensor, found: model_answers.PictureAnswers
) -> None:
    """The picture, each view's answer to it, and all class probabilities."""
    classes, true = card.dataset_info.classes, chosen.label
    target = card.targets.label if true is None and card.targets is not None else None
    target = target if true is None else card.target_of(true)
    answers = []
    for view, shares in zip(found.views, found.probabilities, strict=True):
        best = int(shares.argmax())
        answers.append(Answer(classes[best], float(shares[best]), _kind(best, true, target), view.value))
    title = "Your own picture" if true is None else f"Test picture {choice.sample}, true class: {classes[true]}"
    picture = Picture(to_pixels(image.numpy())[0], "", tuple(answers))
    sample_in_detail(Sample(title, (picture,)), dict(VIEW_TITLES), 160)

    def draw(theme: Theme) -> go.Figure:
        shares = {view.value: row.tolist() for view, row in zip(found.views, found.probabilities, strict=True)}
        return class_probabilities(shares, classes, true, target, theme, 350)

    said = ", ".join(f"{VIEW_TITLES[answer.view or '']} {answer.title}" for answer in answers)
    chart(draw(current_theme()), "pen-probabilities", f"Class probabilities: {said}", paper=lambda: draw("paper"))
    marks = [f"{TRUE_MARK} true class"] if true is not None else []
    marks += [f"{TARGET_MARK} target label"] if target is not None else []
    st.caption(", ".join(marks))


def _kind(answer: int, true: int | None, target: int | None) -> Kind:
    return "true" if answer == true else "target" if answer == target else "other"
