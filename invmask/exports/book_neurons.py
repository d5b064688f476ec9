"""The figures of the page Neurons in the book."""

from invmask.frames import neurons
from invmask.frames.channels import RANKED_BY
from invmask.frames.entry import Entry, on_probe
from invmask.frames.run_records import RunRecords

_COLOURS = {
    "score": (
        "channel score",
        (
            "how much clean images are drawn to one label when this channel is turned up as far as the pruned view "
            "turns it down. The label is the one that all cut channels together draw them to. A channel that is not "
            "cut has the score 0. The score says what the run believes; by itself it is no sign of a backdoor"
        ),
    ),
    "selection": ("selection", "1 − s, which is 1 for a selected channel and 0 for one that both masks leave alone"),
    "trigger": (
        "change under the trigger",
        "the mean absolute difference of its activation between triggered and clean versions of the same images",
    ),
    "synthesized": (
        "change under synthesized triggers",
        "the mean absolute difference of its activation between this round's perturbed images and the same ones clean",
    ),
    "conductance": (
        "conductance toward the target label",
        (
            "its part, in logits, in the rise of the target's logit from the clean image to the triggered one. This is "
            "the layer conductance; it is positive where the channel carries the backdoor"
        ),
    ),
    "asr": (
        "change of ASR if cut alone",
        "how many points ASR rises or falls when this channel alone is cut in the original network",
    ),
    "acc": (
        "change of ACC if cut alone",
        "how many points ACC rises or falls when this channel alone is cut in the original network",
    ),
}


def _map(quantity: str) -> Entry:
    title, meaning = _COLOURS[quantity]
    return Entry(
        f"neurons-map-{quantity}", "Neurons", f"All channels: {title}",
        f"Every channel of the network, layer by layer, one square each. The colour is its {title}: {meaning}.",
        lambda records, theme: neurons.map_figure(records, quantity, theme),
        lambda records: records.capabilities.channels and neurons.knows(records, quantity),
        None if quantity == "selection" else lambda records: _n(records, quantity),
    )  # fmt: skip


def _has_channels(records: RunRecords) -> bool:
    return records.capabilities.channels


def _n(records: RunRecords, quantity: str) -> str:
    return records.channels.values[quantity].sample.replace("\u00a0", " ")


def _top(name: str) -> Entry:
    title, also = RANKED_BY[name], ""
    if name == "asr":
        also = " The effect alone is how much ASR falls when the channel alone is cut."
    return Entry(
        "neurons-top" if name == "score" else f"neurons-top-{name}", "Neurons", f"The first channels by {title}, cut",
        "ACC, ASR and RA (of a clean control, ACC) of the original network against the number of channels cut, the "
        f"first by {title}, all others left whole.{also} The grey line and band are the mean and the range of five "
        "random sets of channels with as many of each layer. The dotted line is the original network.",
        lambda records, theme: neurons.top_figure(records, name, theme),
        lambda records: records.capabilities.channels and neurons.top_known(records, name),
        on_probe,
    )  # fmt: skip


def _agreement_known(records: RunRecords) -> bool:
    return records.capabilities.channels and bool(neurons.agreement_rows(records.channels))


NEURONS: tuple[Entry, ...] = (
    *(_top(name) for name in RANKED_BY),
    *(_map(quantity) for quantity in _COLOURS),
    Entry(
        "neurons-agreement", "Neurons", "Whether the evidence points at the same channels",
        "How many of the 20 highest-scored channels are also among the 20 highest by each piece of evidence (squares). "
        "The evidence does not depend on the run, except for the synthesized triggers, which the run made. The effect "
        "alone is how much ASR falls when the channel alone is cut. The grey bar is what two rankings that know "
        "nothing of each other share in 99 of 100 cases, the tick what they share on average.",
        neurons.agreement_figure, _agreement_known,
    ),
    Entry(
        "neurons-channel-history", "Neurons", "One channel through the rounds",
        "Mask a, selection s, and the gates m and m\u0304 that the channel's output is multiplied by in the pruned and "
        "in the inverse view, after every round.",
        neurons.history_figure, _has_channels, which=neurons.which_channel,
    ),
    Entry(
        "neurons-channel-maps", "Neurons", "Feature maps of one channel",
        "The channel's output in the original network, place by place, for test images clean, triggered (where the "
        "victim has a trigger), and with the trigger that the defence synthesized in this round (where all images "
        "share one).",
        neurons.maps_figure, _has_channels, which=neurons.which_channel_and_images,
    ),
    Entry(
        "neurons-channel-maps-synthesized", "Neurons", "Feature maps of one channel under synthesized triggers",
        "The channel's output in the original network, place by place, for images of the clean budget, clean and with "
        "the trigger that the defence synthesized for each of them in this round.",
        neurons.synthesized_maps_figure, neurons.has_own_triggers,
        which=neurons.which_channel,
    ),
    Entry(
        "neurons-channel-exciting", "Neurons", "Images that excite one channel most",
        "The test images with the highest mean of the channel's output in the original network, and that output.",
        neurons.excited_figure, _has_channels, n=on_probe, which=neurons.which_channel,
    ),
    Entry(
        "neurons-channel-conductance", "Neurons", "What reaches the target label through one channel",
        "The conductance of each of the channel's neurons toward the target label (of a clean control, toward the true "
        "class), from a black image to the one shown, in the original network. Over the image in grey, violet marks "
        "the pixels that reach the label through the neuron that carries most (neuron conductance). A transformer's "
        "class token has no place in the picture; what it carries is part of the channel's sum.",
        neurons.conductance_figure, _has_channels, which=neurons.which_channel_and_images,
    ),
    Entry(
        "neurons-attributions", "Neurons", "What speaks for the target label under the three views",
        "What speaks for the target label (of a clean control, for the true class) in one test image, by Grad-CAM and "
        "by integrated gradients of the pixels from a black image. The more violet a place of the grey image is, the "
        "more it speaks for the label. Beside each view stands its probability for the label.",
        neurons.attribution_figure, _has_channels, which=neurons.which_image_and_layer,
    ),
)  # fmt: skip
"""The figures, in the order of the page."""
