"""The specification of a run: everything needed to repeat it."""

from dataclasses import asdict, dataclass, field
from typing import Any

from invmask.defenses import registry
from invmask.defenses.entry import Entry
from invmask.defenses.settings import DefenseConfig
from invmask.errors import UserError
from invmask.machine import Precision

PROBE_PER_CLASS = 20
FORMAT = 2
"""Version of a run's files; increased when files of earlier versions can no longer be read."""


@dataclass(frozen=True)
class RunSpec:
    """The specification of one run of a defence on a victim.

    Attributes:
        victim: the victim's name.
        preset: the preset that `config` started from.
        spc: clean images per class in the budget.
        seed: random seed for the budget and the batches.
        config: the settings of the defence.
        precision, device, threads: how the networks run; with the same values, records repeat exactly on one machine.
        probe_per_class: embedded test images per class on which each round's views are measured; fewer if there are
            many classes (`data.budget.probe`).
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
        """The names of the defence's stages that have rounds in the settings, in order."""
        return tuple(stage.name for stage in self.entry.stages if self.config.rounds(stage.name))

    @property
    def entry(self) -> Entry:
        """The defence's description in the registry."""
        return registry.entry(self.defense)

    @property
    def made_by(self) -> str:
        """Defence and preset as text: `ANP, preset paper`."""
        return f"{self.entry.title}, preset {self.preset}"

    @property
    def brief(self) -> str:
        """Defence and preset in short: the default defence has no name here, other defences' first preset none."""
        if self.defense == registry.DEFAULT:
            return self.preset
        title = self.entry.title
        return title if self.preset == self.entry.first_preset else f"{title} {self.preset}"

    @property
    def probe_precision(self) -> Precision:
        """The precision for passes on this machine's CPU: the run's own, if the run used a CPU."""
        # The arithmetic of an accelerator is not available here.
        return self.precision if self.device == "cpu" else "float32"

    def as_json(self) -> dict[str, Any]:
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "RunSpec":
        """The specification from what `as_json` returned.

        Raises:
            UserError: the values are not a specification.
        """
        try:
            config = registry.entry(values.get("defense", registry.DEFAULT)).config
            given = {name: value for name, value in values.items() if name != "format"}
            return cls(**{**given, "config": config.from_json(values["config"])})
        except (TypeError, KeyError) as error:
            raise UserError("This run's spec is damaged; delete the run.") from error
