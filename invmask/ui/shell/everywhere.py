"""Choices beside victim and run that stay in the address when the reader goes to another page."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from invmask.ui.shell.address_words import EVERYWHERE, LATE_SECONDS

MOST_LETTERS = 2_000


@dataclass
class Everywhere:
    """The session's memory of these choices.

    Attributes:
        values: the choices by name, one of `EVERYWHERE`.
        replaced: the values that they had before, and when they were replaced, in seconds.
    """

    values: dict[str, str] = field(default_factory=dict)
    replaced: dict[str, tuple[str | None, float]] = field(default_factory=dict)

    def take(self, asked: Mapping[str, str]) -> None:
        """Take over what the address `asked` holds."""
        for name in EVERYWHERE:
            value = asked.get(name)
            before, since = self.replaced.get(name, (None, 0.0))
            # A busy browser may still send the address from before a change, together with another click.
            late = name in self.replaced and value == before and time.monotonic() - since < LATE_SECONDS
            if value and not late and len(value) <= MOST_LETTERS:
                self.values[name] = value

    def choose(self, values: Mapping[str, str | None]) -> None:
        """Choose several values at once; None removes one."""
        for name, value in values.items():
            before = self.values.pop(name, None)
            if value is not None:
                self.values[name] = value
            if value != before:
                self.replaced[name] = (before, time.monotonic())

    def drop(self, name: str) -> str:
        """Remove a choice; returns its value, or nothing."""
        value = self.values.get(name, "")
        self.choose({name: None})
        return value
