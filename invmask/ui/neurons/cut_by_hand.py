"""The part of Neurons where channels are cut by hand: the starting mask, and the pruned view's answers."""

from collections.abc import Sequence

import streamlit as st

from invmask.figures.pictures import PictureRow, picture_rows
from invmask.frames.channels import channel_name
from invmask.masks.state import View
from invmask.runs.store import named_masks
from invmask.runs.store.records import RunSummary
from invmask.ui.neurons import channel_data, neurons_choice
from invmask.ui.neurons.channel_data import Base, WhatIf
from invmask.ui.neurons.neurons_choice import LEARNED, NOTHING, TOP, Decided, NeuronsChoice
from invmask.ui.neurons.numbers_in_sight import base_words
from invmask.ui.parts import save_mask
from invmask.ui.parts.samples import Answer, Kind, Picture, Sample, percent, sample_grid, to_pixels
from invmask.ui.parts.save_figure import save_pictures
from invmask.ui.shell import cache, run_trouble, steering
from invmask.victims.victim import VictimCard

SAMPLES = 8
_NAMED_FEW = 6
_HELP = (
    "The pruned view, recomputed for the channels that you cut or restore, on the same test images that the run is "
    "measured on; its numbers are the ones that stay in sight. Nothing of the run changes. The address holds it all."
)


def show(
    run: RunSummary, round_taken: int, base: Base, choice: NeuronsChoice, by_hand: Decided, names: Sequence[str]
) -> None:
    """Draw the choice of the starting mask, and the decisions made by hand."""
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
            _base(base, choice, names, round_taken)
            _buttons(run, round_taken, base, choice, by_hand)
        st.caption(_said(run, by_hand))


def _base(base: Base, choice: NeuronsChoice, names: Sequence[str], round_taken: int) -> None:
    # A key for each choice, and the choice as the first value: a browser that has just drawn the field reports that.
    key, options = f"neurons-base/{choice.base}", [TOP, LEARNED, NOTHING, *(name for name in names if name != TOP)]
    # While another mask is shown, the number of top channels is that of the slider.
    titles = {TOP: base_words(base, choice.by, round_taken) if base.top else "the top channels"}
    st.selectbox(
        "Cut by hand: start from",
        width=300,
        options=options,
        index=options.index(choice.base),
        key=key,
        format_func=lambda name: titles.get(name) or base_words(Base(name), choice.by, round_taken),
        on_change=lambda: neurons_choice.set_base(st.session_state[key]),
        help=_HELP,
    )


def _buttons(run: RunSummary, round_taken: int, base: Base, choice: NeuronsChoice, by_hand: Decided) -> None:
    changed = bool(by_hand.cut or by_hand.restored)
    with st.container(horizontal=True, gap="small", width="content"):
        st.button(
            "Undo",
            icon=":material/undo:",
            on_click=neurons_choice.undo,
            disabled=not choice.actions,
            help="Take the last cut or restoration back.",
        )
        st.button(
            "Reset",
            icon=":material/restart_alt:",
            on_click=neurons_choice.reset,
            disabled=not choice.actions and choice.base == TOP,
            help="Back to the top channels, with nothing decided by hand.",
        )
        with st.popover("Save mask", icon=":material/save:", help="Give this mask a name that Flip and Export know."):
            _save(run, round_taken, base, by_hand, changed)


def _save(run: RunSummary, round_taken: int, base: Base, by_hand: Decided, changed: bool) -> None:
    directory = cache.store().run(run.id)
    if not changed:
        st.caption("Nothing is decided by hand yet; what you save now is the mask that you start from.")
    save_mask.show("neurons", run.id, lambda: by_hand.apply(channel_data.base_masks(run.id, round_taken, base)))
    for known in named_masks.list_names(directory):
        left, right = st.columns([4, 1], vertical_alignment="center")
        left.write(known)
        if steering.refusal(run.id) is not None:
            continue
        right.button(
            "Delete",
            key=f"neurons-delete/{known}",
            icon=":material/delete:",
            type="tertiary",
            on_click=run_trouble.unless_gone(_delete),
            args=(run.id, known, base.name),
        )


def _delete(run: str, name: str, base: str) -> None:
    steering.check(run)
    # Another user may have done it first.
    if name in named_masks.list_names(cache.store().run(run)):
        named_masks.delete(cache.store().run(run), name)
    if base == name:
        neurons_choice.reset()


def _said(run: RunSummary, by_hand: Decided) -> str:
    layout = cache.store().run(run.id).layout()
    assert layout is not None
    parts = []
    for word, channels in (("cut", by_hand.cut), ("restored", by_hand.restored)):
        if channels:
            names = [channel_name(layout.layers, channel) for channel in channels[:_NAMED_FEW]]
            more = f" and {len(channels) - _NAMED_FEW} more" if len(channels) > _NAMED_FEW else ""
            parts.append(f"{len(channels)} {word} by hand: {', '.join(names)}{more}")
    if not parts:
        return "Nothing is decided by hand. Cut channels in the table, or on their own page."
    return "; ".join(parts) + "."


def show_samples(card: VictimCard, run: RunSummary, found: WhatIf) -> None:
    """A few samples with the original's answers and the pruned view's present answers."""
    spec, classes = run.spec, card.dataset_info.classes
    images, measured = channel_data.probe_images(spec.victim, spec.probe_per_class)
    triggered = measured.triggered is not None and measured.triggered_labels is not None
    tensor = measured.triggered if measured.triggered is not None else measured.clean
    labels = measured.triggered_labels if measured.triggered_labels is not None else measured.labels
    offset = len(images) if triggered else 0
    step = max(1, len(tensor) // SAMPLES)
    places = list(range(0, len(tensor), step))[:SAMPLES]
    pixels = to_pixels(tensor[places].numpy())
    st.subheader("Samples", anchor=False, help="What the pruned view says of a few of the images it is measured on.")
    st.caption(
        f"{'Triggered' if triggered else 'Clean'} images, each under its true class. First answer: the original's; "
        "second answer: the pruned view's, as channels are cut now."
    )
    samples, rows = [], []
    for row, place in enumerate(places):
        true = int(labels[place])
        lines, words = [], []
        for answers, view, who in (
            (found.original_answers, View.ORIGINAL.value, "original"),
            (found.now_answers, View.PRUNED.value, "now"),
        ):
            said = answers[offset + place]
            best = int(said.argmax())
            lines.append(Answer(classes[best], float(said[best]), _kind(best, true, card.target_of(true)), view))
            words.append(f"{who}: {classes[best]}, {percent(float(said[best]))}")
        samples.append(Sample(classes[true], (Picture(pixels[row], "", tuple(lines)),)))
        rows.append(PictureRow(f"true class: {classes[true]}", [pixels[row]], words))
    sample_grid(samples, 96)
    title = "triggered" if triggered else "clean"
    save_pictures("neurons-whatif", lambda: picture_rows(rows, [title], "paper"))


def _kind(answer: int, true: int, target: int | None) -> Kind:
    return "true" if answer == true else "target" if answer == target else "other"
