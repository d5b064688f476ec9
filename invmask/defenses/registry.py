"""Every defence by name. A file in this folder that registers a defence is found automatically."""

import pkgutil
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from invmask import defenses
from invmask.defenses.entry import Entry
from invmask.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

DEFAULT = "ims"
"""The defence that the dashboard and the command line begin with."""

_entries: dict[str, Entry] = {}
D = TypeVar("D", bound=type)


def register(**said: Any) -> "Callable[[D], D]":
    """A decorator that registers a stepper's class with its description, the fields of an `Entry`.

    Raises:
        ValueError: the name is taken.
    """

    def add(stepper: D) -> D:
        entry = Entry(build=stepper, **said)
        if entry.name in _entries:
            raise ValueError(f"there are two defences named {entry.name}")
        _entries[entry.name] = entry
        return stepper

    return add


@cache
def entries() -> dict[str, Entry]:
    """All defences by name, the default first."""
    for module in pkgutil.iter_modules(defenses.__path__):
        name = f"{defenses.__name__}.{module.name}"
        pkgutil.resolve_name(f"{name}.stepper" if module.ispkg else name)
    return dict(sorted(_entries.items(), key=lambda item: (item[0] != DEFAULT, item[0])))


def entry(name: str) -> Entry:
    """The defence of that name.

    Raises:
        UserError: there is no such defence.
    """
    if name not in entries():
        raise UserError(f"There is no defence '{name:.60}'; choose one of: {', '.join(entries())}.")
    return entries()[name]


def parse(text: str) -> tuple[str, str]:
    """Parse defence and preset: `anp`, `ims:paper`, or a preset of the default defence, such as `paper`.

    Raises:
        UserError: there is no such defence or preset.
    """
    name, _, preset = text.partition(":")
    if not preset and name not in entries() and name in entries()[DEFAULT].presets:
        name, preset = DEFAULT, name
    found = entry(name)
    preset = preset or found.first_preset
    found.preset(preset)
    return name, preset
