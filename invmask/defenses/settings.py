"""Descriptions of a defence's settings. Controls, `--set`, documents and checks are made from them."""

from dataclasses import asdict, dataclass, field, fields
from functools import cache
from typing import Any, Self

from invmask.errors import UserError

_KEY = "setting"


@dataclass(frozen=True)
class Setting:
    """The description of one setting.

    Attributes:
        name: name of the config's field.
        title, symbol: texts on screen; the symbol is that of the formula, or empty.
        explanation: what it does, in plain words.
        minimum, maximum, step: the allowed range, and the step of a control.
        whole: whether it is a whole number.
        basic: whether it is always on screen; other settings are in a section that can be opened.
        group: heading of the group of settings that are shown side by side; empty for none. In a group only the part of
            the title after the comma is shown.
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
        """The title as shown below the heading of the group."""
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
    """A dataclass field of a config that carries a `Setting`.

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
    """The settings of a defence; frozen, JSON values only.

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
        """All settings, in the order in which a user decides on them."""
        return _settings_of(cls)

    def rounds(self, stage: str) -> int:
        """The maximum number of rounds of the stage of that name."""
        raise NotImplementedError

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """The config from what `as_json` returned.

        Raises:
            UserError: a setting does not exist or is out of range.
            TypeError: a value is not a number.
        """
        unknown = set(values) - {each.name for each in fields(cls)}
        if unknown:
            raise UserError(f"This defence has no setting named {', '.join(sorted(unknown))}.")
        return cls(**values)


@cache
def _settings_of(config: type[DefenseConfig]) -> tuple[Setting, ...]:
    found = [Setting(name=each.name, **each.metadata[_KEY]) for each in fields(config) if _KEY in each.metadata]
    # The seed is a field of the base class, so it comes first, although a user does not decide on it first.
    return tuple(sorted(found, key=lambda each: each.name == "seed"))
