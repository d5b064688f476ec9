"""Pages and controls that a link hides: `hide=pages:tune,results;controls:spc,seed` in the address.

A teacher hides what a class does not need yet. It is no protection: whoever edits the address sees everything again.
"""

from dataclasses import dataclass, replace

from invmask.ui.shell.address_words import WORDS
from invmask.ui.shell.new_run_words import new_run_words

PAGES, CONTROLS = "pages", "controls"
VICTIM, RUN, STEER, SETTINGS = "victim", "run", "steer", "settings"
GROUPS = {
    VICTIM: "the choice of the victim",
    RUN: "the choice of a run",
    STEER: "Step, Run, Pause, Stop and Reset",
    SETTINGS: "all settings of a new run",
}
"""Controls that can be hidden, and what each is; beside them, each setting of a new run by its word in the address."""


@dataclass(frozen=True)
class Hidden:
    """What a link hides.

    Attributes:
        pages: names of pages, in small letters.
        controls: names of controls: of `GROUPS`, or of settings of a new run.
    """

    pages: frozenset[str] = frozenset()
    controls: frozenset[str] = frozenset()

    def page(self, title: str) -> bool:
        """Whether the page of this title is hidden."""
        return name_of(title) in self.pages

    def control(self, name: str) -> bool:
        """Whether a control is hidden: one of `GROUPS`, or a setting of a new run."""
        return name in self.controls or (SETTINGS in self.controls and name not in GROUPS)

    def without_controls(self) -> "Hidden":
        """The same pages, and all controls."""
        return replace(self, controls=frozenset(GROUPS))

    def text(self) -> str:
        """The text from which `parse` makes this again; empty if nothing is hidden."""
        parts = [f"{PAGES}:{','.join(each for each in page_names() if each in self.pages)}"] if self.pages else []
        if self.controls >= GROUPS.keys():
            parts.append(CONTROLS)
        elif self.controls:
            parts.append(f"{CONTROLS}:{','.join(each for each in control_names() if each in self.controls)}")
        return ";".join(parts)


def parse(text: str) -> tuple[Hidden, dict[str, str]]:
    """What a text hides, and the parts that are not understood, each with the reason."""
    pages: set[str] = set()
    controls: set[str] = set()
    wrong: dict[str, str] = {}
    for part in filter(None, map(str.strip, text.split(";"))):
        kind, colon, rest = part.partition(":")
        names = [name.strip().lower() for name in rest.split(",") if name.strip()]
        match kind.strip().lower():
            case "controls" if not names:
                controls |= GROUPS.keys()
            case "controls":
                controls |= _known(names, control_names(), f"{kind}{colon}", "there is no such control", wrong)
            case "pages" if names:
                pages |= _known(names, page_names(), f"{kind}{colon}", "there is no such page", wrong)
            case "pages":
                wrong[part] = "name the pages, as in pages:tune,results"
            case _:
                wrong[part] = "only pages and controls can be hidden"
    return Hidden(frozenset(pages), frozenset(controls)), wrong


def read(text: str) -> tuple[str | None, dict[str, str]]:
    """The text that stays in the address, or None, and the parts that are left out, each with the reason."""
    found, wrong = parse(text)
    return found.text() or None, wrong


def page_names() -> list[str]:
    """The names of all pages."""
    return [name_of(title) for title in WORDS]


def control_names() -> list[str]:
    """The names of all controls that can be hidden."""
    return [*GROUPS, *new_run_words()]


def name_of(title: str) -> str:
    """The name of a page in a link, from its title."""
    return title.lower().replace(" ", "-")


def _known(names: list[str], known: list[str], before: str, why: str, wrong: dict[str, str]) -> set[str]:
    wrong.update({f"{before}{name}": why for name in names if name not in known})
    return set(names) & set(known)
