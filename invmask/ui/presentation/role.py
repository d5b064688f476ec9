"""Whether the visitor presents, or follows a presenter: `live=...` in the address names the presentation.

Its presenter is whoever has the key of it; everybody else who opens the same link follows.
"""

from dataclasses import dataclass
from typing import Literal

from invmask import settings
from invmask.runs.store import presentation
from invmask.runs.store.presentation import Presentation
from invmask.ui.shell import address, visitor
from invmask.ui.shell.address_words import LIVE, WORDS


@dataclass(frozen=True)
class Role:
    """The visitor's role.

    Attributes:
        name: the presentation's id, as the address has it; None if it has none.
        presentation: None if it has ended, or never was.
    """

    name: str | None
    kind: Literal["presents", "follows", "neither"]
    presentation: Presentation | None = None


def role() -> Role:
    """The visitor's role. May be called before `address.arrive`."""
    name = address.asked_everywhere(LIVE)
    found = None if name is None else presentation.read(settings.home(), name)
    if found is None or found.shown.page not in WORDS:
        return Role(name, "neither")
    return Role(name, "presents" if found.is_of(visitor.all_keys()) else "follows", found)


def follows() -> bool:
    """Whether the visitor follows a presenter; then no control is drawn. Called before anything is drawn."""
    found = role().kind == "follows"
    address.set_follows(found)
    return found
