"""What a session remembers of the address."""

from dataclasses import dataclass, field

from invmask.ui.shell.address_words import RUN, VICTIM
from invmask.ui.shell.everywhere import Everywhere


@dataclass
class AddressMemory:
    """The session's memory of the address.

    Attributes:
        victim, run: the victim and run of every page; valid names, or None.
        page: the page shown.
        choices: each page's own choices by name.
        last_runs: the last chosen run of each victim.
        complaint: one sentence about a wrong name in the address, until the reader chooses something else.
        damaged: the run that the complaint is about, if it exists but cannot be read.
        asked: choices in the address with which the page was opened, until it has been drawn with them. If other
            choices become invalid, no message is shown, because the reader's own action caused this.
        left_out: values removed from this page's address, and why, until the reader chooses something else.
        everywhere: the choices that stay on all pages.
        follows: whether the page shows what a presenter looks at.
    """

    victim: str | None = None
    run: str | None = None
    page: str = ""
    choices: dict[str, dict[str, str]] = field(default_factory=dict)
    last_runs: dict[str, str | None] = field(default_factory=dict)
    complaint: str | None = None
    damaged: str | None = None
    asked: set[str] = field(default_factory=set)
    left_out: dict[str, str] = field(default_factory=dict)
    everywhere: Everywhere = field(default_factory=Everywhere)
    follows: bool = False

    def query(self) -> dict[str, str]:
        """What the page's address holds."""
        shared = {name: value for name, value in ((VICTIM, self.victim), (RUN, self.run)) if value}
        return {**shared, **self.everywhere.values, **self.choices.get(self.page, {})}
