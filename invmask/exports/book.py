"""The book of figures: every figure that a run has, by name.

A new figure is one more line in `BOOK`: a name, the page that shows it, a title, a sentence for the caption, and a
function from a run's records and a theme to the figure.
"""

from collections.abc import Callable, Sequence

import plotly.graph_objects as go

from invmask.defenses import registry
from invmask.errors import UserError
from invmask.evidence.threshold import Order
from invmask.exports.book_neurons import NEURONS
from invmask.figures.channels import QUANTITIES
from invmask.figures.palette import Theme
from invmask.frames import candidates, frame, samples
from invmask.frames.curves import axis_titles, is_curve, sweep_figure
from invmask.frames.entry import Draw, Entry, measured_on, on_probe, triggered
from invmask.frames.hard_cuts import cut_figure
from invmask.frames.run_records import RunRecords
from invmask.grids.curve import SPC, Place
from invmask.measure.metrics import Measures
from invmask.runs.work.cut_curves import CutCurves


def entries_of(records: RunRecords, names: Sequence[str] | None = None) -> list[Entry]:
    """The entries that a run has, in the book's order; only those in `names`, if given.

    Raises:
        UserError: the run has no figure of such a name.
    """
    found = [entry for entry in BOOK if entry.exists(records)]
    if names is None:
        return found
    known = [entry.name for entry in found]
    for name in names:
        if name not in known:
            raise UserError(f"The run has no figure '{name[:60]}'; it has: {', '.join(known)}.")
    return [entry for entry in found if entry.name in names]


def _map(quantity: str) -> Entry:
    return Entry(
        f"defend-map-{quantity}",
        "Defend",
        f"All channels by layer: {QUANTITIES[quantity].lower()}",
        f"Every channel of the network, layer by layer, coloured by its {QUANTITIES[quantity].lower()}. The bars "
        "show which share of each layer's channels is selected (s < 0.5, where the defence selects), pruned (m < 0.5) "
        "and cut in the inverse view (m\u0304 < 0.5).",
        lambda records, theme: frame.map_figure(records.frame, quantity, theme, records.wide_in(theme)),
        lambda records: records.capabilities.channels and quantity in records.frame.quantities,
    )


def _of_frame(draw: Callable[[frame.Frame, Theme], go.Figure]) -> Draw:
    return lambda records, theme: draw(records.frame, theme)


def _has_triggers(records: RunRecords) -> bool:
    return records.capabilities.triggers


def _with_panels(draw: Callable[[frame.Frame, Theme, bool], go.Figure]) -> Draw:
    """Adapt a drawing function of a figure that has another layout when it is wide."""
    return lambda records, theme: draw(records.frame, theme, records.wide_in(theme))


def _in_batch(records: RunRecords) -> str | None:
    found = records.frame.synthesis
    return None if found is None else f"n = {found.samples:,} clean images in the batch"


def _in_batches(records: RunRecords) -> str | None:
    """The number of images for a figure over all rounds."""
    every = (entry.record.synthesis for entry in records.frame.entries)
    found = {synthesis.samples for synthesis in every if synthesis is not None}
    if not found:
        return None
    least, most = min(found), max(found)
    return f"n = {f'{least:,}' if least == most else f'{least:,} to {most:,}'} clean images in each round's batch"


def _cuts(order: Order, words: str, ties: str = "") -> Entry:
    return Entry(
        f"tune-{order.value}",
        "Tune",
        f"Hard cuts {words}",
        f"ACC, ASR and RA of the three views against the number of channels that are cut altogether.{ties} The inverse "
        "view keeps these channels and cuts the other selected ones (s < 0.5). The dotted line is the cut proposed "
        "from the clean budget alone: the one that keeps most of the original's answers to the budget, with and "
        "without the synthesized trigger. Where the round made no trigger, it is the hardest cut that keeps 98 % of "
        "the answers.",
        lambda records, theme: cut_figure(_curves(records), order, theme, wide=records.wide_in(theme)),
        lambda records: records.capabilities.cuts and records.cuts is not None and records.cuts.complete,
        on_probe,
    )


def _every_axis() -> dict[str, str]:
    """Titles of the axes of all defences by name; a run has those of its own defence."""
    return {axis: title for defense in registry.entries().values() for axis, title in axis_titles(defense).items()}


def _sweep(axis: str, title: str) -> Entry:

    def seeds(records: RunRecords) -> str:
        every = sorted({place.seed for place in records.sweep(axis)})
        return f"Runs with seeds {', '.join(map(str, every))}." if len(every) > 1 else f"Runs with seed {every[0]}."

    def draw(records: RunRecords, theme: Theme) -> go.Figure:
        places = records.sweep(axis)
        values = sorted({place.value for place in places})
        return sweep_figure(places, values, axis, theme, records.wide_in(theme))

    return Entry(
        f"tune-{axis.replace('_', '-')}",
        "Tune",
        f"Runs against {title[0].lower() + title[1:]}",
        "ACC, ASR and RA of the views at the end of all finished runs that differ in this setting and in their "
        "seeds alone. Each marker is a run, each line the mean over the seeds, each bar one standard deviation.",
        draw,
        lambda records: _can_vary(records, axis) and is_curve(records.sweep(axis)),
        # A run that has ended is measured on all test images.
        lambda records: measured_on(_ended(records.sweep(axis)[0])),
        seeds,
    )


def _can_vary(records: RunRecords, axis: str) -> bool:
    return axis == SPC or axis in records.frame.defense.axes


def _ended(place: Place) -> Measures:
    assert place.run is not None
    assert place.run.result is not None
    return place.run.result.views.original


def _curves(records: RunRecords) -> CutCurves:
    assert records.cuts is not None
    return records.cuts


BOOK: tuple[Entry, ...] = (
    Entry(
        "start-trigger", "Start", "Test images clean and triggered",
        "Embedded test images without and with the attacker's trigger, and what the victim answers to each.",
        samples.trigger_figure, triggered,
    ),
    Entry(
        "defend-candidates", "Defend", "The smallest synthesized trigger for each label",
        "For each label, the smallest synthesized trigger that the search had found by this round. The bar is its "
        "size: a short bar is a small synthesized trigger, which makes the label suspicious. A hollow bar says little, "
        "for too few images are led (flipped) to the label. Faded labels were dropped from the search.",
        candidates.candidates_figure, candidates.has_candidates, which=candidates.lead_sentence,
    ),
    _map("selection"), _map("pruned"), _map("inverse"),
    Entry(
        "defend-synthesized", "Defend", "Synthesized triggers",
        "The perturbations that the defence made in this round. Each row shows a clean image, the change to it, and "
        "both added; mid grey is no change, and the change is amplified. Beside them stand the views' answers "
        "to the perturbed image.",
        samples.synthesized_figure, _has_triggers,
    ),
    Entry(
        "defend-labels", "Defend", "Labels that the perturbations flip to",
        "How many clean images the perturbations of this round flip to each label.",
        lambda records, theme: frame.labels_figure(records.frame, records.classes, records.target, theme),
        _has_triggers, n=_in_batch,
    ),
    Entry(
        "defend-inner", "Defend", "How well the perturbations work",
        "The share of the batch whose answer the perturbation flips, after every round. Of the flipped images, the "
        "share that the inverse view follows and the share that the pruned view restores.",
        _of_frame(frame.inner_figure), _has_triggers, n=_in_batches,
    ),
    Entry(
        "defend-measures", "Defend", "ACC, ASR and RA over the rounds",
        "Clean accuracy (ACC) of the views after every round; for a backdoored victim also the attack success "
        "rate (ASR) and the recovery accuracy (RA) on triggered images that are not of their target class already. "
        "The defence sees none of these images.",
        _with_panels(frame.measures_figure), n=on_probe,
    ),
    Entry(
        "defend-losses", "Defend", "The terms of the loss over the rounds",
        "Every term of the outer loss after every round, in nats. The shares of channels selected and kept are numbers "
        "from 0 to 1.",
        _with_panels(frame.losses_figure),
    ),
    Entry(
        "flip-samples", "Flip", "Samples under the views",
        "Test images, triggered where the victim has a trigger, and the views' answers to each with their "
        "probabilities. After the true class stands what becomes of the sample under the pruned or repaired view.",
        samples.flip_figure, which=samples.which_sample,
    ),
    Entry(
        "flip-probabilities", "Flip", "Class probabilities of one sample under the views",
        "The probabilities that each view gives to each class for one test image, triggered "
        "where the victim has a trigger. ✓ marks its true class, ◎ the target label.",
        samples.probabilities_figure, n=lambda _: "n = 1 test image", which=samples.which_sample,
    ),
    *NEURONS,
    _cuts(Order.MASK, "by the effective mask, the lowest first"),
    _cuts(Order.SCORE, "by the channel score, the highest first", " Of equal scores, the lowest mask goes first."),
    *(_sweep(axis, title) for axis, title in _every_axis().items()),
)  # fmt: skip
"""Every figure, in the order of the pages."""
