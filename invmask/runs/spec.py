"""What a run is made of: everything needed to make it again."""

from dataclasses import asdict, dataclass, field
from typing import Any

from invmask.defenses.ims.config import IMSConfig
from invmask.errors import UserError
from invmask.machine import Precision

PROBE_PER_CLASS = 20


@dataclass(frozen=True)
class RunSpec:
    """One run of a defence on a victim.

    Attributes:
        victim: the victim's name.
        preset: the preset that `config` started from.
        spc: clean images a class in the budget.
        seed: draws the budget and the batches.
        config: the settings of IMS.
        precision, device, threads: how the networks run; records repeat exactly on one machine with the same.
        probe_per_class: embedded test images a class on which each round's views are measured; fewer of each where
            there are many classes (`data.budget.probe`).
        defense: the defence's name.
    """

    victim: str
    preset: str
    spc: int
    seed: int
    config: IMSConfig
    precision: Precision = "float32"
    device: str = "cpu"
    threads: int = 1
    probe_per_class: int = PROBE_PER_CLASS
    defense: str = "ims"
    versions: dict[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "RunSpec":
        """The spec from `as_json`.

        Raises:
            UserError: not a spec.
        """
        try:
            return cls(**{**values, "config": IMSConfig.from_json(values["config"])})
        except (TypeError, KeyError) as error:
            raise UserError("This run's spec is damaged; delete the run.") from error
