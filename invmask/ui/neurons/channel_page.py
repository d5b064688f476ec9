"""One channel's page: what it does on images, what is known about it, and what the run did with it."""

import numpy as np
import streamlit as st

from invmask.figures.channel_history import channel_history
from invmask.figures.heat import heat_pixels, overlay_pixels
from invmask.figures.palette import VIEW_TITLES
from invmask.figures.rounds import axis_end, phase_spans
from invmask.frames import neurons
from invmask.frames.channels import OF_THE_MASKS, SHORT, Channels, channel_name, find_channel
from invmask.frames.entry import Draw
from invmask.frames.frame import most_rounds, stage_titles
from invmask.frames.one_channel import Conducted, MapRow
from invmask.frames.run_records import Picks, read_records
from invmask.masks.state import GATED, View
from invmask.runs.store.records import RunSummary
from invmask.ui.neurons import neurons_choice
from invmask.ui.neurons import pictures as neurons_pictures
from invmask.ui.neurons.channel_data import WhatIf
from invmask.ui.neurons.neurons_choice import Decided, NeuronsChoice
from invmask.ui.parts.samples import Answer, Picture, Sample, sample_grid
from invmask.ui.parts.save_figure import save_pictures
from invmask.ui.shell import address, cache
from invmask.ui.shell.names import count, quoted
from invmask.ui.shell.theme import chart, current_theme
from invmask.victims.victim import VictimCard

WHOLE = 0.999
"""A channel whose gate is above this passes, so there is nothing to restore."""
MAPS_HELP = (
    "The channel's output in the original network, place by place. Teal: positive; magenta: negative; the same scale "
    "for all of them."
)
CONDUCTANCE_HELP = (
    "What reaches the class through this channel in the original network, added up on the way from a black image to "
    "this one (conductance). **Neurons**: how much each place of the channel adds to the class's logit; teal raises "
    "it, magenta lowers it. **Pixels**: which pixels act on the class through the strongest of these neurons (neuron "
    "conductance); more violet means more. A channel of the backdoor carries much when the trigger is on, and it "
    "comes from the trigger's pixels."
)
ATTRIBUTION_HELP = (
    "Which places of the image speak for the class in this view; more violet means more. **Grad-CAM** uses the last "
    "convolution (in a transformer, the last block but one), so it is as coarse as that layer's output. "
    "**Integrated gradients** rate single pixels, starting from a black image. Both are about the whole network, not "
    "this channel alone."
)


def show(card: VictimCard, found: Channels, choice: NeuronsChoice, result: WhatIf) -> int | None:
    """Draw the head of the page: the channel's name, rank and actions. Returns the channel; None if there is none."""
    layers = found.layout.layers
    channel = None if choice.channel is None else find_channel(layers, choice.channel)
    if channel is None:
        _back()
        st.error(f"There is no channel {quoted(choice.channel or '')} in this network. Choose one on the map.")
        return None
    by_hand = neurons_choice.decided(choice.actions, found.layout.channels)
    name, cut = channel_name(layers, channel), channel in result.cut
    order = found.order
    rank = order.index(channel)
    with st.container(horizontal=True, gap="small"):
        _back()
        st.button(
            "Cut already" if cut else "Cut this channel",
            key="neurons-cut-this",
            type="primary",
            icon=":material/content_cut:",
            on_click=neurons_choice.act,
            args=([channel],),
            disabled=cut,
        )
        st.button(
            "Restore it",
            icon=":material/healing:",
            on_click=neurons_choice.act,
            args=([channel], True),
            disabled=float(result.gates[channel]) > WHOLE,
        )
        for title, icon, step in (("Higher score", "arrow_upward", -1), ("Lower score", "arrow_downward", 1)):
            place = rank + step
            other = order[place] if 0 <= place < len(order) else None
            st.button(
                title,
                icon=f":material/{icon}:",
                disabled=other is None,
                on_click=neurons_choice.set_channel,
                args=(None if other is None else channel_name(layers, other),),
                help="The channel's neighbour by score.",
            )
    st.subheader(name.replace(":", ", channel "), anchor=False)
    st.caption(_facts(card, found, channel, rank, by_hand, cut))
    return channel


def _back() -> None:
    st.button("All channels", icon=":material/arrow_back:", on_click=neurons_choice.set_channel, args=(None,))


def _facts(card: VictimCard, found: Channels, channel: int, rank: int, by_hand: Decided, cut: bool) -> str:
    masks = found.masks
    m, inverse = (float(masks.gate(view)[channel]) for view in (View.PRUNED, View.INVERSE))
    state = "cut now" if cut else "not cut now"
    if channel in (*by_hand.cut, *by_hand.restored):
        state = f"{'cut' if cut else 'restored'} by hand"
    parts = [
        f"**{state}**",
        f"score {found.scores[channel]:.2f}, place {count(rank + 1)} of {count(found.layout.channels)}",
        f"mask a {float(masks.mask[channel]):.2f}, selection s {float(masks.selection[channel]):.2f}",
        f"gates: pruned m {m:.2f}, inverse m\u0304 {inverse:.2f}",
    ]
    for name, values in found.values.items():
        value = values.values[channel]
        if name not in ("score", *OF_THE_MASKS) and np.isfinite(value):
            unit = " points" if name in ("asr", "acc") else ""
            sign = "+" if values.scale == "signed" else ""
            n = "" if values.n is None else f" (n\u00a0=\u00a0{values.n:,})"
            parts.append(f"{SHORT[name]} {value:{sign}.{values.digits}f}{unit}{n}".replace("-", "−"))
    if card.is_unknown:
        parts.append("no trigger known: the score says what the defence would cut")
    elif card.targets is None:
        parts.append("no backdoor to compare with: the score says what the defence would cut")
    return " · ".join(parts)


def body(
    card: VictimCard, run: RunSummary, round_taken: int, shown: int | None, choice: NeuronsChoice, channel: int
) -> None:
    """Draw everything below the head."""
    stamp = cache.victim_stamp(card.name)
    classes = card.dataset_info.classes
    st.subheader("Through the rounds", anchor=False)
    entries = cache.store().run(run.id).entries()
    chart(
        channel_history(
            neurons_pictures.history(run.id, len(entries), channel),
            phase_spans([entry.record.stage for entry in entries], stage_titles(run.spec.entry)),
            axis_end(len(entries), most_rounds(run.spec, entries)),
            current_theme(),
            shown,
        ),
        key="neurons-history",
        alt="Mask, selection and both gates of the channel after every round",
    )
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="bottom"):
        st.subheader("Feature maps", anchor=False, help=MAPS_HELP, width="content")
        st.button(
            "Other samples",
            icon=":material/shuffle:",
            on_click=address.choose,
            args=("draw", str((choice.draw + 1) % 1_000_000)),
            help="Draw other test images.",
        )
    rows = neurons_pictures.test_rows(run.id, round_taken, stamp, channel, choice.draw)
    picks = Picks(channel=choice.channel, draw=choice.draw)

    def save(name: str, draw: Draw) -> None:
        save_pictures(name, lambda: draw(read_records(cache.store().run(run.id), round_taken, picks), "paper"))

    synthesized = neurons_pictures.synthesized_rows(run.id, round_taken, stamp, channel)
    limit = max(float(np.abs(row.maps).max()) for row in [*rows, *synthesized])
    sample_grid([_row(row, limit, classes) for row in rows], 76)
    save("neurons-channel-maps", neurons.maps_figure)
    if synthesized:
        sample_grid([_row(row, limit, classes) for row in synthesized], 76)
        save("neurons-channel-maps-synthesized", neurons.synthesized_maps_figure)
        made = "Synthesized triggers are this round's, each made for its image of the clean budget."
    elif "synthesized" in rows[0].captions:
        made = "The synthesized trigger is this round's, one for all images."
    else:
        made = "This round made no synthesized triggers."
    st.caption(f"Full colour at ±{limit:.2f}. {made}")
    _excited(card, run, stamp, channel)
    save("neurons-channel-exciting", neurons.excited_figure)
    _conductance(card, stamp, channel, choice.draw)
    save("neurons-channel-conductance", neurons.conductance_figure)
    _attributions(card, run, round_taken, stamp, choice.draw)
    save("neurons-attributions", neurons.attribution_figure)


def _row(row: MapRow, limit: float, classes: tuple[str, ...]) -> Sample:
    maps = heat_pixels(row.maps, limit, current_theme())
    pictures = []
    for caption, pixels, heat in zip(row.captions, row.pixels, maps, strict=True):
        pictures += [Picture(pixels, caption), Picture(heat, "map")]
    return Sample(f"true class: {classes[row.label]}", tuple(pictures))


def _excited(card: VictimCard, run: RunSummary, stamp: int, channel: int) -> None:
    found = neurons_pictures.excited(card.name, stamp, channel, run.spec.probe_per_class)
    triggered = "and triggered " if card.targets is not None else ""
    st.subheader(
        "Images that excite it most",
        anchor=False,
        help=f"By the mean of the feature map, of {count(found.n)} clean {triggered}test images.",
    )
    limit = float(np.abs(found.maps).max())
    maps = heat_pixels(found.maps, limit, current_theme())
    samples = []
    for i in range(len(found.values)):
        kind = "" if card.targets is None else "triggered" if found.triggered[i] else "clean"
        pictures = (Picture(found.pixels[i], kind), Picture(maps[i], "map"))
        title = card.dataset_info.classes[int(found.labels[i])]
        samples.append(Sample(title, pictures, f"mean activation {found.values[i]:.2f}".replace("-", "−")))
    sample_grid(samples, 76)


def _conductance(card: VictimCard, stamp: int, channel: int, draw: int) -> None:
    found = neurons_pictures.conducted(card.name, stamp, channel, draw)
    classes = card.dataset_info.classes
    st.subheader(f"What reaches {classes[found.wanted]} through it", anchor=False, help=CONDUCTANCE_HELP)
    limit = float(np.abs(found.maps).max())
    flows = heat_pixels(found.maps, limit, current_theme())
    veils = overlay_pixels(found.pixels, found.inputs, current_theme())
    samples = []
    for i, caption in enumerate(found.captions):
        pictures = (Picture(found.pixels[i], "image"), Picture(flows[i], "neurons"), Picture(veils[i], "pixels"))
        samples.append(Sample(caption, pictures, conductance_note(found, i)))
    sample_grid(samples, 84)
    st.caption(f"Full colour of neurons at ±{limit:.2f} logits.")


def conductance_note(found: Conducted, place: int) -> str:
    """The channel's conductance for one of its images, in logits: the sum, and the place of the maximum."""
    line, column = found.neurons[place].tolist()
    most = f"most in row {line + 1}, column {column + 1}: {found.maps[place, line, column]:.2f}"
    # The class token has no place in the picture.
    token = f", class token {found.class_token[place]:+.2f}" if found.class_token is not None else ""
    return f"channel {found.sums[place]:+.2f} logits{token}; {most}".replace("-", "−")


def _attributions(card: VictimCard, run: RunSummary, round_taken: int, stamp: int, draw: int) -> None:
    found = neurons_pictures.attributed(run.id, round_taken, stamp, draw)
    classes = card.dataset_info.classes
    title = classes[found.wanted]
    st.subheader(f"What speaks for {title}", anchor=False, help=ATTRIBUTION_HELP)
    images = np.repeat(found.pixels[None], 3, 0)
    cams, gradients = (overlay_pixels(images, maps, current_theme()) for maps in (found.cam, found.gradients))
    samples = []
    for row, view in enumerate(GATED):
        said = (Answer(title, float(found.probabilities[row, found.wanted]), None, view.value),)
        pictures = (
            Picture(found.pixels, "image", said),
            Picture(cams[row], "Grad-CAM"),
            Picture(gradients[row], "gradients"),
        )
        samples.append(Sample(VIEW_TITLES[view], pictures))
    sample_grid(samples, 84)
    kind = "A clean image" if card.targets is None else "A triggered image"
    st.caption(f"{kind} of the class {classes[found.label]} under the three views of the learned mask.")
