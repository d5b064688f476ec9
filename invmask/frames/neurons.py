"""Figures of the page Neurons: about all channels of a run, and about one channel."""

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go

from invmask.data.budget import probe
from invmask.evidence.agreement import overlap
from invmask.evidence.rankings import nearest_count
from invmask.figures.agreement import Shared, shared_tops
from invmask.figures.channel_history import channel_history
from invmask.figures.measures import MEASURE_TITLES
from invmask.figures.network_map import network_map
from invmask.figures.palette import VIEW_TITLES, Theme
from invmask.figures.pictures import Heat, PictureRow, Tile, picture_rows
from invmask.figures.rounds import axis_end, phase_spans
from invmask.figures.top_curves import TopLine, top_curves
from invmask.frames import one_channel
from invmask.frames.captions import ordinal
from invmask.frames.channels import RANKED_BY, Channels, channel_name
from invmask.frames.frame import most_rounds, stage_titles
from invmask.frames.one_channel import MapRow
from invmask.frames.run_records import RunRecords
from invmask.masks.outputs import is_transformer
from invmask.masks.state import GATED
from invmask.measure.metrics import Measures
from invmask.runs.work.bench import ProbeImages
from invmask.runs.work.top_cuts import Ranked

FIRST_SHOWN = 10
"""Number of channels cut if the reader has not picked another one."""
COMPARED = 20
"""Number of top channels in which two rankings are compared."""

_EVIDENCE = {
    "trigger": "trigger_change",
    "conductance": "conductance",
    "asr": "asr_change",
    "acc": "acc_change",
}


def map_figure(records: RunRecords, quantity: str, theme: Theme) -> go.Figure:
    """The map of the network, coloured by one of the page's quantities."""
    channels = records.channels
    return network_map(channels.layout.layers, channels.values[quantity], theme, wide=records.wide_in(theme))


def knows(records: RunRecords, quantity: str) -> bool:
    """Whether this quantity is known for the channels."""
    if quantity in ("score", "selection"):
        return True
    if quantity == "synthesized":
        return records.examples.probabilities is not None
    return records.evidence is not None and bool(np.isfinite(getattr(records.evidence, _EVIDENCE[quantity])).any())


def top_known(records: RunRecords, name: str) -> bool:
    """Whether the ranking has first channels and the effect of cutting them has been measured."""
    found = records.top_cuts
    ranked = None if found is None else found.of.get(name)
    return ranked is not None and ranked.complete and bool(ranked.channels)


def top_figure(records: RunRecords, name: str, theme: Theme) -> go.Figure:
    """The effect of cutting a ranking's first channels, compared with random sets; the page's default is marked."""
    assert records.top_cuts is not None
    ranked = records.top_cuts.of[name]
    shown = nearest_count(FIRST_SHOWN, len(ranked.channels))
    return top_cuts_figure(records.top_cuts.original, ranked, name, theme, shown, records.wide_in(theme))


def top_cuts_figure(
    original: Measures, ranked: Ranked, name: str, theme: Theme, shown: int | None = None, wide: bool = False
) -> go.Figure:
    """The curves of one ranking as far as measured; only ACC for a clean control."""
    lines = {}
    for measure in MEASURE_TITLES:
        whole = getattr(original, measure)
        if whole is not None:
            top = np.array([getattr(each, measure) for each in ranked.top])
            draws = [[getattr(each, measure) for each in some] for some in ranked.random]
            lines[measure] = TopLine(whole, top, np.array(draws))
    return top_curves(ranked.counts, lines, RANKED_BY[name], theme, shown, wide)


def agreement_rows(channels: Channels) -> dict[str, Shared]:
    """For each known ranking by evidence, by its short name: the overlap of its top channels with the score's."""
    rows, by_score = {}, channels.first_by("score")[:COMPARED]
    for name, title in RANKED_BY.items():
        first = channels.first_by(name)[:COMPARED]
        if name != "score" and first and by_score:
            found = overlap(by_score, first, channels.layout.channels)
            rows[title] = Shared(found.shared, found.chance, found.most)
    return rows


def shared_figure(rows: Mapping[str, Shared], theme: Theme) -> go.Figure:
    """The overlap of the score's top channels with those of each kind of evidence."""
    return shared_tops(rows, COMPARED, theme)


def agreement_figure(records: RunRecords, theme: Theme) -> go.Figure:
    """The overlap figure for a run's records."""
    return shared_figure(agreement_rows(records.channels), theme)


def which_channel(records: RunRecords) -> str:
    """`Channel layer4.1.conv1:12, the highest-scored of 1,200 (score 0.42).`"""
    channels, channel = records.channels, records.channel
    name, score = channel_name(channels.layout.layers, channel), channels.scores[channel]
    place, count = channels.order.index(channel) + 1, channels.layout.channels
    if records.picks.channel is None:
        return f"Channel {name}, the highest-scored of {count:,} (score {score:.2f})."
    return (
        f"Channel {name}, picked on the page Neurons; by score the {ordinal(place)} of {count:,} (score {score:.2f})."
    )


def which_channel_and_images(records: RunRecords) -> str:
    """The channel, and the test images on which it is shown."""
    return f"{which_channel(records)} Test images drawn with seed {records.picks.draw}."


def which_image(records: RunRecords) -> str:
    """The image that the attributions are for."""
    kind = "triggered" if records.has_trigger else "clean"
    name = records.classes[int(records.channel_images.labels[0])]
    return f"The image: {kind}, true class {name}, the first of the test images drawn with seed {records.picks.draw}."


def which_image_and_layer(records: RunRecords) -> str:
    """The image that the attributions are for, and the layer of Grad-CAM."""
    layer = "encoder block but one" if is_transformer(records.victim.model) else "convolution"
    return f"Grad-CAM is of the last {layer}. {which_image(records)}"


def history_figure(records: RunRecords, theme: Theme) -> go.Figure:
    """One channel's mask, selection and gates over the rounds."""
    frame = records.frame
    return channel_history(
        one_channel.history(records.run, frame.last, records.channel),
        phase_spans([entry.record.stage for entry in frame.entries], stage_titles(frame.defense)),
        axis_end(frame.last, most_rounds(frame.summary.spec, frame.entries)),
        theme,
        frame.shown,
    )


def maps_figure(records: RunRecords, theme: Theme) -> go.Figure:
    """The channel's feature maps for test images: clean, triggered, and with a synthesized trigger that all share."""
    shared = one_channel.shared_trigger(records.run, records.frame.round)
    rows = one_channel.test_rows(records.victim, records.channel_images, records.channel, shared)
    return _maps(rows, records, theme)


def has_own_triggers(records: RunRecords) -> bool:
    """Whether the round synthesized a separate trigger for each image."""
    stored = records.run.examples_at(records.frame.round)
    return records.capabilities.channels and stored is not None and stored.shared is None


def synthesized_maps_figure(records: RunRecords, theme: Theme) -> go.Figure:
    """The channel's feature maps for images of the budget, clean and with their synthesized triggers."""
    rows = one_channel.synthesized_rows(records.run, records.frame.round, records.victim, records.channel)
    return _maps(rows, records, theme)


def excited_figure(records: RunRecords, theme: Theme) -> go.Figure:
    """The images that excite the channel most, and its feature maps for them."""
    images = ProbeImages.of(
        probe(records.victim.card.dataset, records.frame.summary.spec.probe_per_class), records.victim
    )
    found = one_channel.excited(records.victim, images, records.channel)
    rows = []
    for i, value in enumerate(found.values.tolist()):
        kind = [] if not records.has_trigger else ["triggered" if found.triggered[i] else "clean"]
        lines = [*kind, f"mean activation {_number(value)}"]
        rows.append(PictureRow(_true(records, int(found.labels[i])), [found.pixels[i], Heat(found.maps[i])], lines))
    return picture_rows(
        rows, ["image", "feature map"], theme, "activation, in the layer's units", records.wide_in(theme)
    )


def attribution_figure(records: RunRecords, theme: Theme) -> go.Figure:
    """Grad-CAM and integrated gradients of the target label on one image under the three views."""
    found = one_channel.attributed(records.victim, records.run.masks_at(records.frame.round), records.channel_images)
    rows = []
    for row, view in enumerate(GATED):
        said = f"{records.classes[found.wanted]} {100 * found.probabilities[row, found.wanted]:.1f} %"
        veils = [Heat(maps[row], found.pixels) for maps in (found.cam, found.gradients)]
        rows.append(PictureRow(VIEW_TITLES[view], [found.pixels, *veils], [said]))
    return picture_rows(rows, ["image", "Grad-CAM", "gradients"], theme, wide=records.wide_in(theme))


def conductance_figure(records: RunRecords, theme: Theme) -> go.Figure:
    """The channel's conductance toward the target label, by neuron and by pixel."""
    found = one_channel.conducted(records.victim, records.channel_images, records.channel)
    rows = []
    for i, caption in enumerate(found.captions):
        line, column = found.neurons[i].tolist()
        pictures: list[Tile] = [found.pixels[i], Heat(found.maps[i]), Heat(found.inputs[i], found.pixels[i])]
        whole, most = _number(float(found.sums[i])), _number(float(found.maps[i, line, column]))
        lines = [f"channel: {whole} logits", f"most: {most}, in row {line + 1},"]
        lines.append(f"column {column + 1} of {found.maps.shape[2]}")
        if found.class_token is not None:
            # A row has room for three lines.
            token = _number(float(found.class_token[i]))
            lines = [f"channel: {whole} logits,", f"of these class token: {token}"]
            lines.append(f"most: {most}, row {line + 1}, column {column + 1}")
        rows.append(PictureRow(caption, pictures, lines))
    title = f"conductance toward {records.classes[found.wanted]}, logits"
    return picture_rows(rows, ["image", "neurons", "pixels"], theme, title, records.wide_in(theme))


def _maps(rows: list[MapRow], records: RunRecords, theme: Theme) -> go.Figure:
    drawn_rows = []
    for row in rows:
        pictures: list[Tile] = []
        for pixels, values in zip(row.pixels, row.maps, strict=True):
            pictures += [pixels, Heat(values)]
        means = [
            f"{caption}: mean {_number(float(m.mean()))}" for caption, m in zip(row.captions, row.maps, strict=True)
        ]
        if len(row.captions) > 2:
            # Rows are lower if there are many pictures.
            means = ["means, left to right:", ", ".join(_number(float(m.mean())) for m in row.maps)]
        drawn_rows.append(PictureRow(_true(records, row.label), pictures, means))
    many = len(rows[0].captions) > 2
    titles = [caption.replace("synthesized", "synth.") if many else caption for caption in rows[0].captions]
    columns = [title for caption in titles for title in (caption, "map")]
    return picture_rows(drawn_rows, columns, theme, "activation, in the layer's units", records.wide_in(theme))


def _true(records: RunRecords, label: int) -> str:
    return f"true class: {records.classes[label]}"


def _number(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")
