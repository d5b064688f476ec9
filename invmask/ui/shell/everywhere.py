"""Choices beside victim and run that stay in the address when the reader goes to another page."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from invmask.ui.shell.address_words import EVERYWHERE

MOST_LETTERS = 2_000
LATE_SECONDS = 10.0
"""So long after a change, a browser that draws a page may still send the address from before it."""


@dataclass
class Everywhere:
    """The session's memory of these choices.

    Attributes:
        values: the choices by name, one of `EVERYWHERE`.
        replaced: values that they had before: name, value, and when it was replaced, in seconds.
    """

    values: dict[str, str] = field(default_factory=dict)
    replaced: list[tuple[str, str | None, float]] = field(default_factory=list)

    def take(self, asked: Mapping[str, str]) -> None:
        """Take over what the address `asked` holds."""
        now = time.monotonic()
        self.replaced = [old for old in self.replaced if now - old[2] < LATE_SECONDS]
        late = {(name, value) for name, value, _ in self.replaced}
        for name in EVERYWHERE:
            value = asked.get(name)
            if value and (name, value) not in late and len(value) <= MOST_LETTERS:
                self.values[name] = value

    def choose(self, values: Mapping[str, str | None]) -> None:
        """Choose several values at once; None removes one."""
        for name, value in values.items():
            before = self.values.pop(name, None)
            if value is not None:
                self.values[name] = value
            self.replaced = [old for old in self.replaced if old[:2] != (name, value)]
            if value != before:
                self.replaced.append((name, before, time.monotonic()))

    def drop(self, name: str) -> str:
        """Remove a choice; returns its value, or nothing."""
        value = self.values.get(name, "")
        self.choose({name: None})
        return value
