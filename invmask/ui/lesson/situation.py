"""What a step of a lesson is about at the moment: its victim, and the run in the address if it fits the step."""

from dataclasses import dataclass
from functools import cached_property

from invmask.errors import UserError
from invmask.runs.store import built_in
from invmask.runs.store.records import RoundEntry, RunSummary
from invmask.ui.lesson.content import ALL_STAGES, Lesson, Step
from invmask.ui.shell import address, cache
from invmask.ui.shell.names import count, target_title
from invmask.victims.victim import VictimCard

USUAL_SPC = cache.FIRST_SPC


@dataclass(frozen=True)
class Situation:
    """A step, its victim's card, and the run that decides its question; None if there is none (yet)."""

    lesson: Lesson
    step: Step
    card: VictimCard
    run: RunSummary | None

    @cached_property
    def entries(self) -> tuple[RoundEntry, ...]:
        """The rounds of the run."""
        return () if self.run is None else cache.store().run(self.run.id).entries()

    @property
    def spc(self) -> int:
        """The data budget of the learner's own run in this step."""
        return self.step.spc or USUAL_SPC

    def of_stage(self, stage: str) -> list[RoundEntry]:
        """The rounds of one stage."""
        return [entry for entry in self.entries if entry.record.stage == stage]

    def stage_is_over(self, stage: str) -> bool:
        """Whether all rounds of the stage have been taken; of `ALL_STAGES`, whether the run has a result."""
        if stage == ALL_STAGES:
            return self.run is not None and self.run.result is not None
        found = self.of_stage(stage)
        return bool(found) and found[-1].record.stage_ended is not None

    def words(self) -> dict[str, str]:
        """What `{name}` stands for in the step's texts."""
        classes = self.card.dataset_info.classes
        channels = 0 if self.run is None else self.entries[-1].record.counts.get("channels", 0) if self.entries else 0
        return {
            "target": target_title(self.card) or "no label",
            "channels": count(channels or _channels(self.card)),
            "clean": count(self.spc * len(classes)),
        }


def situation(lesson: Lesson, step: Step) -> Situation | None:
    """The situation of a step; None if its victim is not on this machine."""
    name = lesson.victim_of(step)
    card = cache.victim_cards().get(name)
    if card is None:
        return None
    return Situation(lesson, step, card, _fitting_run(step, name))


def built_in_run(victim: str) -> str | None:
    """The finished run of this victim that comes with invmask; None if there is none, or no longer."""
    cache.built_in_runs(wait=True)
    known = {path.stem for path in built_in.ARCHIVES.glob("*.zip")}
    found = [run.id for run in cache.listing().runs if run.spec.victim == victim and run.id in known]
    return max(found, default=None)


def _fitting_run(step: Step, victim: str) -> RunSummary | None:
    run = address.current_run()
    if run is None or step.run == "any":
        return None
    try:
        found = cache.summary(run)
    except UserError:
        return None
    fits = found.spec.victim == victim and step.spc in (None, found.spec.spc)
    return found if fits else None


def _channels(card: VictimCard) -> int:
    from invmask.masks.state import MaskLayout

    try:
        return MaskLayout.of(cache.victim(card.name).model).channels
    except UserError:
        return 0
