"""What the lessons say and ask, read from lessons.toml."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

Needs = Literal["any", "built-in", "own"]
CLASSES = "classes"
ALL_STAGES = "all"


@dataclass(frozen=True)
class Option:
    """One answer to choose.

    Attributes:
        value: the fact for which it is right; None for numbers.
        below: it is right for numbers below this, from the option before it on; None for no limit.
    """

    text: str
    value: str | None = None
    below: float | None = None


@dataclass(frozen=True)
class Step:
    """One step of a lesson; the fields are explained in lessons.toml.

    Attributes:
        options: empty for the classes of the victim.
    """

    name: str
    title: str
    page: str
    minutes: int
    run: Needs
    text: str
    do: str
    ask: str
    options: tuple[Option, ...]
    fact: str
    told: str
    notice: str
    victim: str | None = None
    stage: str | None = None
    spc: int | None = None
    link: Mapping[str, str] = field(default_factory=dict)

    def options_for(self, classes: Sequence[str]) -> tuple[Option, ...]:
        """The options, for a victim with these classes."""
        return self.options or tuple(Option(name, value=str(label)) for label, name in enumerate(classes))


@dataclass(frozen=True)
class Lesson:
    """A lesson: its length in minutes, the victim of most steps, and the steps in order."""

    name: str
    title: str
    minutes: int
    victim: str
    about: str
    steps: tuple[Step, ...]

    def victim_of(self, step: Step) -> str:
        """The name of the victim that the step is about."""
        return step.victim or self.victim


def right_option(options: Sequence[Option], fact: float | str) -> int:
    """The index of the option that is right for this fact.

    Raises:
        ValueError: none is.
    """
    for place, option in enumerate(options):
        if isinstance(fact, str):
            right = option.value == fact
        else:
            right = option.value is None and (option.below is None or fact < option.below)
        if right:
            return place
    raise ValueError(f"No option is right for {fact!r}.")


@cache
def lessons() -> Mapping[str, Lesson]:
    """All lessons by name, in the order of the file."""
    values = tomllib.loads(Path(__file__).with_name("lessons.toml").read_text(encoding="utf-8"))
    steps = {name: _step(name, of) for name, of in values["steps"].items()}
    return {
        name: Lesson(**{**of, "name": name, "steps": tuple(steps[step] for step in of["steps"])})
        for name, of in values["lessons"].items()
    }


def _step(name: str, values: dict[str, Any]) -> Step:
    options = values["options"]
    found = () if options == CLASSES else tuple(Option(**option) for option in options)
    texts = {key: " ".join(values[key].split()) for key in ("text", "do", "ask", "told", "notice")}
    return Step(**{**values, **texts, "name": name, "options": found})
