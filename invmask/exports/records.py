"""What figures for export are drawn from: one run at one round, and its victim."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from invmask import settings
from invmask.attacks.victims import Victim, load_victim
from invmask.data.budget import probe
from invmask.errors import UserError
from invmask.evidence.views import ViewAnswers, view_probabilities
from invmask.exports.frames import Examples, Frame, examples, read_frame
from invmask.masks.state import View
from invmask.runs.run import Run
from invmask.runs.tuning import CutCurves, read_curves

SAMPLES_PER_CLASS = 1
"""Test images of each class that stand for all where pictures are shown."""


@dataclass(frozen=True)
class Samples:
    """Some embedded test images, and what the three views say of them.

    Attributes:
        clean, triggered: float32 [N, C, H, W] in [0, 1]; `triggered` is None for a clean control.
        answers: to the triggered images, or to the clean ones of a control.
        clean_answers: of the original view, float [N, K].
    """

    clean: np.ndarray
    triggered: np.ndarray | None
    answers: ViewAnswers
    clean_answers: np.ndarray


@dataclass(frozen=True)
class RunRecords:
    """A run at one round. What takes forward passes is made when first asked for, and then kept."""

    frame: Frame

    @property
    def run(self) -> Run:
        return self.frame.run

    @cached_property
    def victim(self) -> Victim:
        return load_victim(self.frame.summary.spec.victim, settings.victim_folders(self.run.path.parents[1]))

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.victim.card.dataset_info.classes)

    @property
    def target(self) -> int | None:
        """The target label; None for a clean control, and where each class has its own."""
        return self.victim.card.target_label

    @cached_property
    def examples(self) -> Examples:
        return examples(self.frame, self.victim.card.dataset)

    @cached_property
    def cuts(self) -> CutCurves | None:
        """Curves of hard cuts of this round's masks, as far as the page Tune has had them measured."""
        return read_curves(self.run, self.frame.round)

    @cached_property
    def samples(self) -> Samples:
        card, model = self.victim.card, self.victim.model
        images = probe(card.dataset, SAMPLES_PER_CLASS)
        attack = card.make_attack()
        images = images.take(card.attacked(images.labels))
        clean = images.tensor()
        shown = clean if attack is None else attack.apply(clean)
        masks = self.run.masks_at(self.frame.round)
        probabilities = view_probabilities(model, masks, list(View), shown)
        return Samples(
            clean=clean.numpy(),
            triggered=None if attack is None else shown.numpy(),
            answers=ViewAnswers(probabilities, images.label_tensor(), card.targets),
            clean_answers=view_probabilities(model, masks, [View.ORIGINAL], clean)[0].numpy(),
        )


def read_records(run: Run, round_taken: int | None = None) -> RunRecords:
    """A run at a round, the latest if None.

    Raises:
        UserError: no such round, no round yet, or a damaged run.
    """
    committed = run.committed()
    if committed is None or committed.round == 0:
        raise UserError(f"Run {run.id} has no rounds yet; take a step first.")
    if round_taken is not None:
        run.entry(round_taken)
    frame = read_frame(run, round_taken)
    assert frame is not None
    return RunRecords(frame)
