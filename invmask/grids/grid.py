"""A grid of cases: attacks, architectures, data sets and poisoning ratios, by defences, budgets and seeds."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from invmask import settings
from invmask.data.budget import MAX_SPC
from invmask.defenses import registry
from invmask.errors import UserError
from invmask.grids.results import CaseResult, from_summary
from invmask.machine import Precision, device_kind
from invmask.runs.store.records import RunSummary
from invmask.runs.work.bench import usual_precision
from invmask.victims.make import Plan
from invmask.victims.victim import CLEAN

MOST_CASES = 10_000


@dataclass(frozen=True)
class Case:
    """One defence of one victim.

    Attributes:
        plan: the victim, as it would be trained if it is missing.
        defense, preset: the run's defence and preset.
        spc: clean images per class.
        seed: random seed of the budget and the batches.
        precision, device: how the networks run; cases with other values are different cases.
    """

    plan: Plan
    defense: str
    preset: str
    spc: int
    seed: int
    precision: Precision
    device: str

    @classmethod
    def here(cls, plan: Plan, method: str, spc: int, seed: int, precision: Precision | None = None) -> "Case":
        """The case as this machine would run it.

        Args:
            method: defence and preset, as in `registry.parse`.
            precision: None for the precision that suits the machine, the network and the preset.
        """
        (defense, preset), device = registry.parse(method), settings.device()
        usual = usual_precision(defense, preset, plan.architecture, device)
        return cls(plan, defense, preset, spc, seed, precision or usual, device)

    @property
    def name(self) -> str:
        """The name of the case's file, without the ending."""
        return f"{self.earlier_name}_{self.precision}_{device_kind(self.device)}"

    @property
    def earlier_name(self) -> str:
        """The file's name in earlier versions, without precision and device."""
        made_by = self.preset if self.defense == registry.DEFAULT else f"{self.defense}-{self.preset}"
        return f"{self.plan.name}_{made_by}_spc{self.spc}_seed{self.seed}".replace(":", "_")

    def is_of(self, result: CaseResult) -> bool:
        """Whether a result for this victim and defence was computed in this precision on this kind of device."""
        return (result.precision, result.device) == (self.precision, device_kind(self.device))

    def result(self, run: RunSummary) -> CaseResult:
        """The result of the case's run, or why there is none."""
        return from_summary(self.description(), run)

    def without_result(self, problem: str, run: str | None = None) -> CaseResult:
        """A result without measures; `problem` says why, as a sentence."""
        details = {"precision": self.precision, "device": self.device}
        return CaseResult(**self.description(), run=run, problem=problem, details=details)

    def description(self) -> dict[str, Any]:
        """The case's values by the field names of a `CaseResult`."""
        return {
            "victim": self.plan.name,
            "dataset": self.plan.dataset,
            "architecture": self.plan.architecture,
            "attack": self.plan.attack,
            "poisoning_ratio": 0.0 if self.plan.attack == CLEAN else self.plan.poisoning_ratio,
            "defense": self.defense,
            "preset": self.preset,
            "spc": self.spc,
            "seed": self.seed,
        }


def expand(
    attacks: Sequence[str],
    architectures: Sequence[str],
    datasets: Sequence[str],
    ratios: Sequence[float],
    methods: Sequence[str],
    budgets: Sequence[int],
    seeds: Sequence[int],
    precision: Precision | None = None,
) -> list[Case]:
    """Every combination once, victim by victim. A clean control has no poisoning ratio.

    Args:
        ratios: poisoning ratios in [0, 1].
        methods: defences and presets, as in `registry.parse`.
        budgets: clean images per class.
        precision: for all cases; None for the precision that suits this machine, each network and each preset.

    Raises:
        UserError: a name does not exist, a value is out of range, or there are more than `MOST_CASES` cases.
    """
    for name in methods:
        registry.parse(name)
    if wrong := [spc for spc in budgets if not 1 <= spc <= MAX_SPC]:
        raise UserError(f"SPC (samples per class) has to be between 1 and {MAX_SPC}, not {wrong[0]}.")
    plans: dict[str, Plan] = {}
    for dataset in datasets:
        for architecture in architectures:
            for attack in attacks:
                for ratio in ratios:
                    plan = Plan(dataset, architecture, attack)
                    plan = plan if attack == CLEAN else replace(plan, poisoning_ratio=ratio)
                    plan.check()
                    plans.setdefault(plan.name, plan)
    cases = {
        case.name: case
        for plan in plans.values()
        for name in methods
        for spc in budgets
        for seed in seeds
        for case in [Case.here(plan, name, spc, seed, precision)]
    }
    if len(cases) > MOST_CASES:
        raise UserError(f"These are {len(cases):,} cases; ask for at most {MOST_CASES:,} at once.")
    return list(cases.values())
