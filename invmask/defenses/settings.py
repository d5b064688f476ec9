"""What the settings of a defence say of themselves. Controls, `--set`, documents and checks are made of it."""

from dataclasses import asdict, dataclass, field, fields
from functools import cache
from typing import Any, Self

from invmask.errors import UserError

_KEY = "setting"


@dataclass(frozen=True)
class Setting:
    """One setting as people see it.

    Attributes:
        name: of the config's field.
        title, symbol: on screen; the symbol is the formula's, or empty.
        explanation: what it does, in plain words.
        minimum, maximum, step: the range that makes sense, and the step of a control.
        whole: whether it is a whole number.
        basic: whether it is always on screen; others are behind one fold.
        group: of settings that stand side by side under one heading; empty for one that stands alone. In a group the
            part of the title after the comma is enough.
    """

    name: str
    title: str
    symbol: str
    explanation: str
    minimum: float
    maximum: float
    step: float
    whole: bool
    basic: bool
    group: str

    @property
    def short(self) -> str:
        """The title as it is said below the heading of the group."""
        return self.title.rpartition(", ")[2].capitalize() if self.group else self.title


def setting(
    default: float,
    allowed: tuple[float, float, float],
    title: str,
    explanation: str,
    *,
    symbol: str = "",
    basic: bool = False,
    group: str = "",
) -> Any:
    """A field of a config that carries a `Setting`.

    Args:
        allowed: minimum, maximum and step. The default's type says whether it is a whole number.
    """
    minimum, maximum, step = allowed
    carried = {
        "title": title,
        "symbol": symbol,
        "explanation": explanation,
        "minimum": minimum,
        "maximum": maximum,
        "step": step,
        "whole": isinstance(default, int),
        "basic": basic,
        "group": group,
    }
    return field(default=default, metadata={_KEY: carried})


@dataclass(frozen=True, kw_only=True)
class DefenseConfig:
    """The settings of a defence; frozen, JSON all the way down.

    Raises:
        UserError: a setting is out of its range.
    """

    seed: int = setting(0, (0, 2**31 - 1, 1), "Seed", "Fixes which clean images are drawn, and the batches.")

    def __post_init__(self) -> None:
        for each in self.settings():
            value = getattr(self, each.name)
            if not each.minimum <= value <= each.maximum:
                raise UserError(f"{each.title} has to be between {each.minimum:g} and {each.maximum:g}, not {value:g}.")

    @classmethod
    def settings(cls) -> tuple[Setting, ...]:
        """All settings, in the order in which one decides."""
        return _settings_of(cls)

    def rounds(self, stage: str) -> int:
        """The most rounds that the stage of that name may take."""
        raise NotImplementedError

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """The config from `as_json`.

        Raises:
            UserError: a setting that does not exist, or one out of range.
            TypeError: a value that is no number.
        """
        unknown = set(values) - {each.name for each in fields(cls)}
        if unknown:
            raise UserError(f"This defence has no setting named {', '.join(sorted(unknown))}.")
        return cls(**values)


@cache
def _settings_of(config: type[DefenseConfig]) -> tuple[Setting, ...]:
    found = [Setting(name=each.name, **each.metadata[_KEY]) for each in fields(config) if _KEY in each.metadata]
    # The seed is the base class's field, and comes first without being what one decides first.
    return tuple(sorted(found, key=lambda each: each.name == "seed"))
