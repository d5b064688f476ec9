"""The parts of the page Flip from top to bottom: switch, counts, filter, gallery, and one sample in detail."""

from collections.abc import Sequence

import plotly.graph_objects as go
import streamlit as st

from invmask.figures.palette import VIEW_EXPLANATIONS, VIEW_TITLES, Theme
from invmask.figures.probabilities import TARGET_MARK, TRUE_MARK, class_probabilities
from invmask.frames.samples import SHOWN, flip_pictures
from invmask.masks.state import View
from invmask.measure.metrics import flags
from invmask.measure.views import FATE_EXPLANATIONS, Fate
from invmask.runs.store import named_masks
from invmask.ui.flip import flip_choice, pen_choice
from invmask.ui.flip.flip_choice import FlipChoice
from invmask.ui.parts.gallery import Tile, gallery
from invmask.ui.parts.samples import Answer, Kind, Picture, Sample, percent, sample_in_detail
from invmask.ui.parts.save_figure import save_pictures
from invmask.ui.shell import address
from invmask.ui.shell.model_answers import FlipAnswers
from invmask.ui.shell.names import count
from invmask.ui.shell.theme import chart, current_theme, view_hex, view_word_hex
from invmask.victims.victim import VictimCard

GALLERY_HEIGHT = 560
FIGURE_HEIGHT = 350
# For an inverse view. With ten classes, about this share of answers is the target label even without a backdoor.
LACKS_BELOW = 0.2

_FATE_TITLES = {
    Fate.RECOVERED: "Recovered",
    Fate.STILL_FOOLED: "Still fooled",
    Fate.NEWLY_WRONG: "Newly wrong",
    Fate.OTHERWISE_WRONG: "Differently wrong",
}
_FILTER_TITLES = {
    "all": "All",
    "changed": "Changed",
    "recovered": "Recovered",
    "still-fooled": "Still fooled",
    "newly-wrong": "Newly wrong",
    "otherwise-wrong": "Differently wrong",
    "picked": "Picked",
}


def switch(choice: FlipChoice, has_trigger: bool, views: Sequence[View], pen: bool) -> None:
    """The main control: the view, and the images that it is applied to.

    Args:
        pen: whether the pen is shown; it shows all views at once, so there is no view to choose.
    """
    st.session_state["flip-view"], st.session_state["flip-images"] = choice.view.value, choice.images
    colour, words = view_hex(choice.view), view_word_hex(choice.view)
    st.html(
        "<style>.st-key-flip-view [role=radio]{padding:.55rem 1.2rem;font-size:1.1rem}"
        f".st-key-flip-view [role=radio][aria-checked=true]{{border-color:{colour};color:{words}!important;"
        f"background:color-mix(in srgb,{colour} 14%,transparent)}}"
        # Room for two lines, so that the gallery does not move if the other view has a longer text.
        ".st-key-flip-measures{min-height:3rem}"
        # So that they take two lines in a narrow window, not three.
        ".st-key-flip-show [role=radio]{padding-inline:.6rem}</style>"
    )
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        if not pen:
            st.segmented_control(
                "View",
                [view.value for view in views],
                key="flip-view",
                required=True,
                format_func=lambda view: VIEW_TITLES[view],
                on_change=lambda: flip_choice.set_view(st.session_state["flip-view"]),
                help="One network, seen in several ways. Keys: 1, 2, 3. "
                + " ".join(f"{VIEW_TITLES[view]}: {VIEW_EXPLANATIONS[view]}" for view in views),
            )
        st.session_state["flip-pen"] = "pen" if pen else "samples"
        st.segmented_control(
            "Look at",
            ["samples", "pen"],
            key="flip-pen",
            required=True,
            format_func=str.capitalize,
            on_change=lambda: pen_choice.set_on(st.session_state["flip-pen"] == "pen"),
            help="Samples: the test images that the run is measured on. Pen: draw on any picture, and all views "
            "answer at once.",
        )
        if has_trigger and not pen:
            st.segmented_control(
                "Images",
                ["poisoned", "clean"],
                key="flip-images",
                required=True,
                format_func=str.capitalize,
                on_change=lambda: flip_choice.set_images(st.session_state["flip-images"]),
                help="Poisoned: test images of all classes but the target (of an all-to-all backdoor: of all), with "
                "the trigger on. Clean: test images of all classes as they are.",
            )


def mask_choice(choice: FlipChoice, names: list[str]) -> None:
    """The learned mask, or one made by hand on the page Neurons."""
    st.session_state["flip-mask"] = choice.mask or named_masks.LEARNED
    st.selectbox(
        "Mask",
        [named_masks.LEARNED, *names],
        key="flip-mask",
        format_func=lambda name: "Learned" if name == named_masks.LEARNED else name,
        on_change=lambda: flip_choice.set_mask(
            None if st.session_state["flip-mask"] == named_masks.LEARNED else st.session_state["flip-mask"]
        ),
        help="The mask that the run learned, or one that was made by hand and saved on the page Neurons.",
    )


def counts(card: VictimCard, found: FlipAnswers, view: View) -> None:
    """How many samples the view recovers, leaves fooled and spoils, and the number of samples."""
    answers, fates = found.answers, found.answers.fates(view)
    triggered = answers.targets is not None
    columns = st.columns(4)
    for column, (fate, title) in zip(columns, _FATE_TITLES.items(), strict=True):
        absent = fate is Fate.STILL_FOOLED and not triggered
        number = fates.count(fate)
        with column, st.container(gap=None):
            st.metric(title, "–" if absent else count(number), help=FATE_EXPLANATIONS[fate])
            st.caption(
                "no trigger on clean images" if absent else f"{percent(number / len(fates))} of {count(len(fates))}"
            )
    with st.container(key="flip-measures"):
        st.caption(_measures(card, found, view))


def _measures(card: VictimCard, found: FlipAnswers, view: View) -> str:
    answers = found.answers
    said, n = answers.answers(view), f"n\u00a0=\u00a0{count(len(answers.labels))}"
    if answers.targets is None:
        measured = flags(said, answers.labels).measures()
        return f"{VIEW_TITLES[view]} view: ACC {percent(measured.acc)} of these clean images, {n}."
    measured = flags(said, answers.labels, said, answers.labels, answers.targets.of(answers.labels)).measures()
    sentence = (
        f"{VIEW_TITLES[view]} view: ASR {percent(measured.asr)}, answered with the target label; "
        f"RA (recovery accuracy) {percent(measured.ra)}, answered with their true class; {n}."
    )
    if view is not View.INVERSE or measured.asr is None or measured.asr >= LACKS_BELOW:
        return sentence
    # A reader who expects only the backdoor in this view has to learn that the page is not broken.
    most = int(said.bincount(minlength=len(card.dataset_info.classes)).argmax())
    share, label = percent(float((said == most).float().mean())), card.dataset_info.classes[most]
    return f"{sentence} Its most frequent answer is {label} ({share}): this inverse view does not contain the backdoor."


def filter_pills(choice: FlipChoice, fates: list[Fate], triggered: bool, view: View) -> None:
    """The filters with the number of samples in each, by the samples' fates under `view`."""
    every = list(range(len(fates)))
    numbers = {name: len(flip_choice.chosen(name, fates, choice.picked, every)) for name in _FILTER_TITLES}
    names = [name for name in _FILTER_TITLES if triggered or name != "still-fooled"]
    st.session_state["flip-show"] = choice.show
    st.pills(
        f"Show samples by what becomes of them under the {view} view",
        names,
        key="flip-show",
        required=True,
        wrap=True,
        format_func=lambda name: f"{_FILTER_TITLES[name]} · {numbers[name]}",
        on_change=lambda: flip_choice.set_show(st.session_state["flip-show"] or "all"),
        help=f"The filter goes by the {view} view whichever view is on, so that the same samples stay in place "
        f"while you flip. Changed: the {view} view answers differently from the original. Differently wrong: both "
        "answer wrongly, each with another class.",
    )


def sample_gallery(
    choice: FlipChoice, card: VictimCard, found: FlipAnswers, places: list[int], current: int | None
) -> None:
    """A page of samples under the view; a click picks a sample. `current` is the sample shown in detail."""
    pages = max(1, -(-len(places) // flip_choice.PER_PAGE))
    page = choice.page
    if page >= pages:
        page = pages - 1
        why = f"there {'is' if pages == 1 else 'are'} {pages:,}"
        address.leave_out("page", why, kept=str(pages) if page else None)
    shown = places[page * flip_choice.PER_PAGE : (page + 1) * flip_choice.PER_PAGE]
    if shown:
        classes = card.dataset_info.classes
        probabilities = found.answers.of(choice.view)
        best, answer = probabilities.max(1)
        labels = found.answers.labels
        tiles = [
            Tile(
                place,
                found.images[place],
                classes[int(labels[place])],
                classes[int(answer[place])],
                float(best[place]),
                _kind(int(answer[place]), int(labels[place]), card.target_of(int(labels[place]))),
            )
            for place in shown
        ]
        colour = view_hex(choice.view)
        gallery(tiles, choice.picked, current, colour, flip_choice.toggle_pick, "flip-gallery", GALLERY_HEIGHT)
    else:
        with st.container(height=GALLERY_HEIGHT, border=False):
            st.info(_nothing(choice.show, choice.mask))
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            "Previous",
            icon=":material/chevron_left:",
            disabled=page == 0,
            on_click=flip_choice.set_page,
            args=(page - 1,),
            help="The samples before these.",
        )
        st.button(
            "Next",
            icon=":material/chevron_right:",
            disabled=page >= pages - 1,
            on_click=flip_choice.set_page,
            args=(page + 1,),
            help="The samples after these.",
        )
        first = page * flip_choice.PER_PAGE
        st.caption(f"{first + 1} to {first + len(shown)} of {len(places)}" if shown else "0 of 0")
    if shown:
        # The sample shown in detail comes first.
        printed = sorted(shown, key=lambda place: place != current)[:SHOWN]
        save_pictures(
            "flip-samples",
            lambda: flip_pictures(
                [found.images[place] for place in printed], found.answers, printed, card.dataset_info.classes, "paper"
            ),
        )


def detail(card: VictimCard, found: FlipAnswers, place: int | None) -> None:
    """One sample under all views; a note if no sample passes the filter and none is picked."""
    if place is None:
        st.caption("No sample to look at: the filter finds none.")
        return
    classes, true = card.dataset_info.classes, int(found.answers.labels[place])
    said = found.answers.probabilities[:, place]
    answers = tuple(
        Answer(classes[best], float(said[row, best]), _kind(best, true, card.target_of(true)), view.value)
        for row, view in enumerate(found.answers.views)
        for best in [int(said[row].argmax())]
    )
    picture = Picture(found.images[place], "", answers)
    sample_in_detail(Sample(f"Sample {place}, true class: {classes[true]}", (picture,)), dict(VIEW_TITLES), 112)

    def draw(theme: Theme) -> go.Figure:
        shares = {view.value: said[row].tolist() for row, view in enumerate(found.answers.views)}
        return class_probabilities(shares, classes, true, card.target_of(true), theme, FIGURE_HEIGHT)

    alt = f"Class probabilities of sample {place} under the views"
    chart(draw(current_theme()), "flip-probabilities", alt, paper=lambda: draw("paper"))
    st.caption(f"{TRUE_MARK} true class" + (f", {TARGET_MARK} target label" if card.targets is not None else ""))


def _kind(answer: int, true: int, target: int | None) -> Kind:
    return "true" if answer == true else "target" if answer == target else "other"


def _nothing(show: str, mask: str | None) -> str:
    if show == "picked":
        return "No sample is picked. Show all of them, then click on those you want to keep in view."
    fate = _FILTER_TITLES[show].lower()
    if mask is not None:
        return f"Under this mask no sample is {fate}. Show all, or choose another mask."
    return f"At this round no sample is {fate}. Show all, or move to another round."
