"""What a run is made of: everything needed to make it again."""

from dataclasses import asdict, dataclass, field
from typing import Any

from invmask.defenses import registry
from invmask.defenses.entry import Entry
from invmask.defenses.settings import DefenseConfig
from invmask.errors import UserError
from invmask.machine import Precision

PROBE_PER_CLASS = 20
FORMAT = 2
"""Of a run's files; raised when this version can no longer read those of earlier ones."""


@dataclass(frozen=True)
class RunSpec:
    """One run of a defence on a victim.

    Attributes:
        victim: the victim's name.
        preset: the preset that `config` started from.
        spc: clean images a class in the budget.
        seed: draws the budget and the batches.
        config: the settings of the defence.
        precision, device, threads: how the networks run; records repeat exactly on one machine with the same.
        probe_per_class: embedded test images a class on which each round's views are measured; fewer of each where
            there are many classes (`data.budget.probe`).
        defense: the defence's name.
    """

    victim: str
    preset: str
    spc: int
    seed: int
    config: DefenseConfig
    precision: Precision = "float32"
    device: str = "cpu"
    threads: int = 1
    probe_per_class: int = PROBE_PER_CLASS
    defense: str = registry.DEFAULT
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def stages(self) -> tuple[str, ...]:
        """The names of the defence's stages that the settings have rounds for, in order."""
        return tuple(stage.name for stage in self.entry.stages if self.config.rounds(stage.name))

    @property
    def entry(self) -> Entry:
        """What the defence says of itself."""
        return registry.entry(self.defense)

    @property
    def made_by(self) -> str:
        """Defence and preset for people: `ANP, preset paper`."""
        return f"{self.entry.title}, preset {self.preset}"

    @property
    def brief(self) -> str:
        """Defence and preset where there is little room: of the default defence the preset, of a first preset none."""
        if self.defense == registry.DEFAULT:
            return self.preset
        title = self.entry.title
        return title if self.preset == self.entry.first_preset else f"{title} {self.preset}"

    @property
    def probe_precision(self) -> Precision:
        """The arithmetic of passes on this machine's processor: the run's own, where it ran on a processor."""
        # Where the run was computed on an accelerator, its arithmetic is not at hand here.
        return self.precision if self.device == "cpu" else "float32"

    def as_json(self) -> dict[str, Any]:
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "RunSpec":
        """The spec from `as_json`.

        Raises:
            UserError: not a spec.
        """
        try:
            config = registry.entry(values.get("defense", registry.DEFAULT)).config
            given = {name: value for name, value in values.items() if name != "format"}
            return cls(**{**given, "config": config.from_json(values["config"])})
        except (TypeError, KeyError) as error:
            raise UserError("This run's spec is damaged; delete the run.") from error
