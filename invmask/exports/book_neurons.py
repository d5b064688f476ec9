"""The figures of the page Neurons in the book."""

from invmask.exports import neurons
from invmask.exports.entry import Entry, measured_on, on_probe
from invmask.exports.records import RunRecords

_COLOURS = {
    "score": (
        "channel score",
        (
            "how much turning the channel up, as far as the pruned view turns it down, draws clean images to the label "
            "that all cut channels together draw them to; 0 for a channel that is not cut. It says what the run "
            "believes, and by itself it is no sign of a backdoor"
        ),
    ),
    "selection": ("selection", "1 − s: 1 for a selected channel, 0 for one that both masks leave alone"),
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
            "its part, in logits, in the rise of the target's logit from the clean image to the triggered one (layer "
            "conductance, positive where it carries the backdoor)"
        ),
    ),
    "asr": ("change of ASR if cut alone", "in points, with this channel alone cut in the original network"),
    "acc": ("change of ACC if cut alone", "in points, with this channel alone cut in the original network"),
}


def _map(quantity: str) -> Entry:
    title, meaning = _COLOURS[quantity]
    return Entry(
        f"neurons-map-{quantity}", "Neurons", f"All channels: {title}",
        f"Every channel of the network, layer by layer, one square each, coloured by its {title}: {meaning}.",
        lambda records, theme: neurons.map_figure(records, quantity, theme),
        lambda records: records.capabilities.channels and neurons.knows(records, quantity),
        None if quantity == "selection" else lambda records: _n(records, quantity),
    )  # fmt: skip


def _has_channels(records: RunRecords) -> bool:
    return records.capabilities.channels


def _n(records: RunRecords, quantity: str) -> str:
    return records.channels.values[quantity].sample.replace("\u00a0", " ")


def _top_known(records: RunRecords) -> bool:
    return (
        records.capabilities.channels
        and records.top_set is not None
        and records.top_set.complete
        and bool(records.top_set.channels)
    )


def _top_n(records: RunRecords) -> str:
    assert records.top_set is not None
    return measured_on(records.top_set.original)


def _agreement_known(records: RunRecords) -> bool:
    return records.capabilities.channels and any(
        neurons.knows(records, name) for name in _COLOURS if name not in ("score", "selection")
    )


NEURONS: tuple[Entry, ...] = (
    *(_map(quantity) for quantity in _COLOURS),
    Entry(
        "neurons-top", "Neurons", "The highest-scored channels, cut together",
        "ASR (of a clean control, ACC) of the original network with nothing cut, with the ten highest-scored channels "
        "cut, and with random sets cut that have as many channels of each layer.",
        neurons.top_figure, _top_known, _top_n,
    ),
    Entry(
        "neurons-agreement", "Neurons", "How well score and evidence agree",
        "Spearman's rank correlations over all channels between the channel score and each piece of evidence. That is "
        "independent of the run, but for the synthesized triggers, which the run made. Changes of ASR and ACC enter "
        "with the sign turned: a channel whose cut lowers them more ranks higher.",
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
        "Conductance of each of the channel's neurons toward the target label (of a clean control, toward the true "
        "class), from a black image to the one shown; and, over the image in grey, the pixels that reach the label "
        "through the neuron that carries most (neuron conductance): the more violet, the more. A transformer's class "
        "token has no place in the picture; what it carries is part of the channel's sum. Original network.",
        neurons.conductance_figure, _has_channels, which=neurons.which_channel_and_images,
    ),
    Entry(
        "neurons-attributions", "Neurons", "What speaks for the target label under the three views",
        "Over one test image in grey, the more violet, the more the place speaks for the target label (of a clean "
        "control, for the true class): Grad-CAM, and integrated gradients of the pixels from a black image. Beside "
        "each view its probability for the label.",
        neurons.attribution_figure, _has_channels, which=neurons.which_image_and_layer,
    ),
)  # fmt: skip
"""In the order of the page."""
