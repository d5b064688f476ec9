"""The data of figures for export: a run at one round, its victim, and the reader's choices on the pages."""

import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from invmask import settings
from invmask.data.budget import budget_size, probe
from invmask.data.embedded import load_embedded
from invmask.data.images import LabelledImages
from invmask.defenses.entry import Capabilities
from invmask.errors import UserError
from invmask.figures.palette import Theme
from invmask.frames.channels import Channels, find_channel, known_channels
from invmask.frames.curves import finished_along
from invmask.frames.frame import Examples, Frame, examples, read_frame
from invmask.frames.one_channel import drawn
from invmask.grids.curve import Place
from invmask.masks.state import MaskLayout, View
from invmask.measure.views import ViewAnswers, view_probabilities
from invmask.runs.store.all_runs import RunStore
from invmask.runs.store.records import RunSummary
from invmask.runs.store.run import Run
from invmask.runs.store.staleness import check_victim, of_todays_victim
from invmask.runs.work.cut_curves import CutCurves, read_curves
from invmask.runs.work.evidence import VictimEvidence, top_cuts, victim_evidence
from invmask.runs.work.scores import run_scores, synthesized_change
from invmask.runs.work.top_cuts import TopCuts
from invmask.victims.victim import Victim, load_victim

SAMPLES_PER_CLASS = 1
"""Number of test images of each class that are shown as pictures."""
CLEAN_SAMPLE = "clean-"
_SAMPLE = re.compile(rf"({CLEAN_SAMPLE})?(\d{{1,6}})", re.ASCII)


@dataclass(frozen=True)
class Picks:
    """The reader's choices on the pages; None if the figure shall choose by its own rule.

    Attributes:
        sample: the sample on Flip: `17` is an index of the poisoned samples, `clean-17` one of the clean samples.
        channel: the channel on Neurons, by name: `layer4.1.conv1:12`.
        draw: number of the draw of test images on which the channel is shown.
    """

    sample: str | None = None
    channel: str | None = None
    draw: int = 0


@dataclass(frozen=True)
class Samples:
    """Some embedded test images, and the views' answers to them.

    Attributes:
        clean, triggered: float32 [N, C, H, W] in [0, 1]; `triggered` is None if the images are shown clean.
        answers: the views' answers to the triggered images, or else to the clean ones.
        clean_answers: softmax probabilities of the original view for the clean images, float [N, K].
    """

    clean: np.ndarray
    triggered: np.ndarray | None
    answers: ViewAnswers
    clean_answers: np.ndarray

    @property
    def shown(self) -> np.ndarray:
        """The images behind `answers`, float32 [N, C, H, W] in [0, 1]."""
        return self.clean if self.triggered is None else self.triggered


@dataclass(frozen=True)
class RunRecords:
    """A run at one round. Results that need forward passes are computed on first use and then kept.

    Attributes:
        wide: whether figures in the theme `paper` are laid out for two columns.
    """

    frame: Frame
    picks: Picks = Picks()
    wide: bool = False

    @property
    def run(self) -> Run:
        return self.frame.run

    @cached_property
    def victim(self) -> Victim:
        return load_victim(self.frame.summary.spec.victim, settings.victim_folders(self.run.home))

    def wide_in(self, theme: Theme) -> bool:
        """Whether a figure in this theme is laid out for two columns; never on screen."""
        return self.wide and theme == "paper"

    @property
    def capabilities(self) -> Capabilities:
        """What the run's defence can show."""
        return self.frame.capabilities

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.victim.card.dataset_info.classes)

    @property
    def target(self) -> int | None:
        """The target label; None without a known trigger, and if each class has its own target."""
        return self.victim.card.target_label

    @property
    def has_trigger(self) -> bool:
        """Whether a trigger of the victim is known."""
        return self.victim.card.targets is not None

    @cached_property
    def examples(self) -> Examples:
        return examples(self.frame, self.victim.card.dataset)

    @cached_property
    def cuts(self) -> CutCurves | None:
        """Curves of hard cuts of this round's masks, as far as the page Tune has requested and got them."""
        return read_curves(self.run, self.frame.round)

    @cached_property
    def evidence(self) -> VictimEvidence | None:
        """Evidence about the victim's channels; None until all of it has been gathered for the page Neurons."""
        found = victim_evidence(self.run)
        return found if found is not None and found.complete else None

    @cached_property
    def top_cuts(self) -> TopCuts | None:
        """The effect of cutting the first channels of each ranking, as far as measured."""
        return top_cuts(self.run, self.frame.round)

    @cached_property
    def channels(self) -> Channels:
        """Everything known about every channel."""
        run, number = self.run, self.frame.round
        scores = run_scores(run, number, self.victim).numpy()
        synthesized = synthesized_change(run, number, self.victim)
        layout = MaskLayout.of(self.victim.model)
        budget = budget_size(self.victim.card.dataset, self.frame.summary.spec.spc)
        masks = run.masks_at(number)
        return known_channels(layout, masks, scores, budget, synthesized, self.evidence, self.has_trigger)

    @cached_property
    def channel(self) -> int:
        """The channel picked on Neurons, or else the channel with the highest score.

        Raises:
            UserError: the network has no such channel.
        """
        asked = self.picks.channel
        if asked is None:
            return self.channels.order[0]
        found = find_channel(self.channels.layout.layers, asked)
        if found is None:
            raise UserError(
                f"There is no channel '{asked[:60]}' in this network; a channel is named as in layer4.1.conv1:12."
            )
        return found

    @cached_property
    def channel_images(self) -> LabelledImages:
        """The test images on which the channel is shown, drawn as on Neurons."""
        return drawn(self.victim, load_embedded(self.victim.card.dataset, "test").images, self.picks.draw)

    def sweep(self, axis: str) -> list[Place]:
        """The finished runs that differ from this one only in one setting (an axis of the defence) and in the seed."""
        return finished_along(self.frame.summary, axis, self._all_runs)

    @cached_property
    def _all_runs(self) -> list[RunSummary]:
        folder = self.run.path.parent
        return of_todays_victim(RunStore(folder).listing().runs, self.frame.summary.spec.victim, folder)

    @cached_property
    def samples(self) -> Samples:
        """One test image of every class, triggered if the victim has a trigger."""
        return self._samples(SAMPLES_PER_CLASS, self.has_trigger)

    @cached_property
    def flip_samples(self) -> Samples:
        """The samples of the page Flip; clean samples if a clean sample is picked there."""
        clean = (self.picks.sample or "").startswith(CLEAN_SAMPLE)
        return self._samples(self.frame.summary.spec.probe_per_class, self.has_trigger and not clean)

    @cached_property
    def picked_sample(self) -> int | None:
        """The index in `flip_samples` of the sample picked on Flip; None if none is picked.

        Raises:
            UserError: there is no such sample.
        """
        if self.picks.sample is None:
            return None
        found, most = _SAMPLE.fullmatch(self.picks.sample), len(self.flip_samples.clean) - 1
        if found is None or int(found[2]) > most:
            raise UserError(
                f"There is no sample '{self.picks.sample[:20]}'; samples are numbered from 0 to {most}, as on Flip, "
                "and clean ones as in clean-0."
            )
        return int(found[2])

    def check_picks(self) -> None:
        """Check that the picked sample and channel exist, before any figure is made.

        Raises:
            UserError: one of them does not exist.
        """
        _ = self.picked_sample
        if self.picks.channel is not None:
            _ = self.channel

    def _samples(self, per_class: int, triggered: bool) -> Samples:
        card, model, spec = self.victim.card, self.victim.model, self.frame.summary.spec
        images, attack = probe(card.dataset, per_class), card.make_attack() if triggered else None
        if attack is not None:
            images = images.take(card.attacked(images.labels))
        clean = images.tensor()
        shown = clean if attack is None else attack.apply(clean)
        repair, precision = self.run.repair_at(self.frame.round), spec.probe_precision
        probabilities = view_probabilities(model, repair, repair.views, shown, precision)
        return Samples(
            clean=clean.numpy(),
            triggered=None if attack is None else shown.numpy(),
            answers=ViewAnswers(
                probabilities, images.label_tensor(), card.targets if attack is not None else None, repair.views
            ),
            clean_answers=view_probabilities(model, repair, [View.ORIGINAL], clean, precision)[0].numpy(),
        )


def read_records(
    run: Run, round_taken: int | None = None, picks: Picks | None = None, wide: bool = False
) -> RunRecords:
    """Read a run at a round (None: the latest). `wide` lays its figures out for two columns of a paper.

    Raises:
        UserError: no such round, no round yet, the run is damaged, or the victim has been replaced.
    """
    check_victim(run)
    committed = run.committed()
    if committed is None or committed.round == 0:
        raise UserError(f"Run {run.id} has no rounds yet; take a step first.")
    if round_taken is not None:
        run.entry(round_taken)
    frame = read_frame(run, round_taken)
    assert frame is not None
    return RunRecords(frame, picks or Picks(), wide)
