"""A defence that only looks for labels and triggers, for tests: what it finds is made up, and quick to make."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from invmask.defenses import registry
from invmask.defenses.base import Candidates, Examples, Record, Subject
from invmask.defenses.entry import Capabilities, Entry, Stage
from invmask.defenses.settings import DefenseConfig, setting
from invmask.defenses.verdict import LIKELY, Verdict
from invmask.masks.repair import Gates
from invmask.masks.state import Masks
from invmask.runs.store.spec import RunSpec
from tests.unit.run_helpers import VICTIM

NAME = "finder"
LEAD = 1.0647
"""What the last round of the search says; the smallest is then 2.9 times as small as the next."""


@dataclass(frozen=True, kw_only=True)
class FinderConfig(DefenseConfig):
    """So many rounds of a search, then so many that cut channels; every second of these cuts none."""

    search: int = setting(3, (0, 100, 1), "Search", "Rounds of the search.")
    cut: int = setting(4, (0, 100, 1), "Cut", "Rounds that cut.")

    def rounds(self, stage: str) -> int:
        return int(getattr(self, stage))


@dataclass(frozen=True)
class FinderState:
    """Rounds taken, and the mask."""

    mask: Tensor
    round: int = 0


def found(number: int, rounds: int, classes: int = 10, side: int = 32, channels: int = 3) -> Candidates:
    """What round `number` of a search of `rounds` has found for each label: 2 wins, and at the end 8 and 9 are out."""
    generator = torch.Generator().manual_seed(number)
    sizes, last = torch.linspace(30, 60, classes) * rounds / number, number == rounds
    sizes[2], sizes[5] = 6.125, 17.75
    searched = torch.ones(classes, dtype=torch.bool)
    searched[8:] = not last
    flips = torch.full((classes,), 0.9375)
    flips[7] = 0.25
    return Candidates(
        family="patch",
        labels=torch.arange(classes),
        portraits=torch.rand(classes, channels, side, side, generator=generator),
        sizes=sizes,
        flips=flips,
        searched=searched,
        standing_out=2 if last else None,
        lead=None if number == 1 else LEAD,
    )


class Finder:
    """The defence as a stepper; see `defenses.base.Defense`."""

    def __init__(self, config: FinderConfig) -> None:
        self.config = config

    def init(self, subject: Subject) -> FinderState:
        return FinderState(torch.ones(subject.layout.channels))

    def step(self, subject: Subject, state: FinderState) -> tuple[FinderState, Record]:  # noqa: ARG002
        number, stage, mask = state.round + 1, self.stage(state), state.mask.clone()
        of_stage = number if stage == "search" else number - self.config.search
        if stage == "cut" and of_stage % 2:
            mask[of_stage * 20 : of_stage * 20 + 20] = 0
        notes = {"found": 2} if self.config.search else {}
        return FinderState(mask, number), Record(number, stage, of_stage, {}, 0.0, notes=notes)

    def stage(self, state: FinderState) -> str:
        return "search" if state.round < self.config.search else "cut"

    def done(self, state: FinderState) -> str | None:
        return "All is done." if state.round >= self.config.search + self.config.cut else None

    def repair(self, state: FinderState) -> Gates:
        return Gates(Masks(state.mask, state.mask))

    def examples(self, state: FinderState) -> Examples | None:  # noqa: ARG002
        return None

    def candidates(self, subject: Subject, state: FinderState) -> Candidates | None:  # noqa: ARG002
        return found(state.round, self.config.search) if 0 < state.round <= self.config.search else None

    def pack(self, state: FinderState) -> tuple[dict[str, Tensor], dict[str, Any]]:
        return {"mask": state.mask}, {"round": state.round}

    def unpack(self, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> FinderState:
        return replace(FinderState(tensors["mask"]), **numbers)


def verdict(_config: FinderConfig, stage: str, notes: Mapping[str, Any]) -> Verdict | None:
    """Once the search is over, the label that it was made to find."""
    return None if stage == "search" or not notes else Verdict(LIKELY, 0.93, notes["found"], LEAD, "patch")


FINDER = Entry(
    name=NAME,
    title="Finder",
    family="trigger synthesis",
    paper="none",
    explanation="Finds what it was made to find.",
    config=FinderConfig,
    presets={"default": FinderConfig()},
    preset_words={"default": "the only one."},
    stages=(
        Stage("search", "Search", "Search", "Look.", "one more look"),
        Stage("cut", "Cut", "Cut", "Cut.", "one more cut"),
    ),
    terms={},
    capabilities=Capabilities(channels=True, triggers=False, cuts=True, invertible=True, searches=True),
    build=Finder,
    verdict=verdict,
)


def register_finder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have it in the registry for one test, in this process."""
    monkeypatch.setitem(registry.entries(), NAME, FINDER)


def finder_spec(**changes: int) -> RunSpec:
    """A run of it."""
    return RunSpec(VICTIM, "default", 1, 0, FinderConfig(**changes), probe_per_class=5, defense=NAME)
