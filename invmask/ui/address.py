"""What the page address holds, so that a refresh, a second screen or a whole class sees the same.

`?victim=...&run=...` on every page, and each page's own choices beside them. Streamlit drops the query
when people switch pages; what was there is kept in the session and written back on arrival.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import streamlit as st

from invmask.ui import cache, navigation

_KEY = "address"
VICTIM, RUN = "victim", "run"
_OF_A_NETWORK = {"Neurons": ("channel", "cut"), "Export": ("channel",)}
"""Choices by page that name channels: in another network they would be others."""


@dataclass
class _Address:
    """The session's memory of the address.

    Attributes:
        victim, run: what every page looks at; valid names, or None.
        page: the page shown.
        choices: each page's own choices by name.
        last_runs: the run looked at last of each victim.
        complaint: one sentence about a wrong name in the address, until people choose something else.
        damaged: the run that it is about, where that is there and cannot be read.
    """

    victim: str | None = None
    run: str | None = None
    page: str = ""
    choices: dict[str, dict[str, str]] = field(default_factory=dict)
    last_runs: dict[str, str | None] = field(default_factory=dict)
    complaint: str | None = None
    damaged: str | None = None

    def query(self) -> dict[str, str]:
        shared = {name: value for name, value in ((VICTIM, self.victim), (RUN, self.run)) if value}
        return {**shared, **self.choices.get(self.page, {})}


def arrive(page: str) -> None:
    """Bring the address and the session into line. Called once at the top of every run of app.py.

    What the address says wins; what it leaves out, after a switch of pages, is written back from the session.
    """
    address: _Address = st.session_state.setdefault(_KEY, _Address())
    asked = st.query_params.to_dict()
    # Choices of the page that was left, where the address still holds them, are not choices of this one.
    left = address.choices.get(address.page, {}) if address.page != page else {}
    own = {name: value for name, value in asked.items() if name not in (VICTIM, RUN) and left.get(name) != value}
    address.page = page
    address.choices.setdefault(page, {}).update(own)
    _settle(address, asked.get(VICTIM) or address.victim, asked.get(RUN) or address.run)
    _write(address)


def current_victim() -> str | None:
    """The victim that every page looks at; None only where there is no victim at all.

    A page asks this first of all: where its script was run without app.py, it begins again with it.
    """
    navigation.come_in_through_app()
    return _address().victim


def current_run() -> str | None:
    """The run that every page looks at, one of `current_victim`; None where none is chosen."""
    return _address().run


def complaint() -> str | None:
    """One sentence about a wrong name in the address; None when all is well."""
    return _address().complaint


def damaged_run() -> str | None:
    """The run that the address named and nobody can read, which the complaint is about; None when all is well."""
    return _address().damaged


def set_victim(name: str) -> None:
    """Look at another victim, and at the run of it that was looked at last. Best called in a widget's callback."""
    address = _address()
    if name != address.victim:
        address.last_runs[address.victim or ""] = address.run
        _change(address, name, address.last_runs.get(name))


def set_run(run: str | None) -> None:
    """Look at another run (its victim comes with it), or at none. Best called in a widget's callback.

    Called later in a page than that, it has to be followed by `st.rerun()`, for the sidebar is drawn already.
    """
    address = _address()
    _change(address, address.victim, run)


def forget_run(run: str) -> None:
    """Look at no run where that one is looked at, for it is deleted; go back to it never."""
    address = _address()
    for victim in [victim for victim, last in address.last_runs.items() if last == run]:
        address.last_runs[victim] = None
    if run in (address.run, address.damaged):
        set_run(None)


def number(name: str) -> int | None:
    """A choice that is a whole number from 0 to 999,999; None where the address says nothing that makes sense."""
    text = choice(name, "")
    return int(text) if is_number(text) else None


def is_number(text: str) -> bool:
    """Whether it is a whole number from 0 to 999,999, in plain digits."""
    return text.isascii() and text.isdecimal() and len(text) <= 6


def choice(name: str, default: str, allowed: Sequence[str] | None = None) -> str:
    """This page's own choice from the address; the default where there is none, or one that is not allowed."""
    address = _address()
    value = address.choices.get(address.page, {}).get(name, default)
    return value if allowed is None or value in allowed else default


def choose(name: str, value: str | None, page: str | None = None) -> None:
    """Put this page's own choice into the address; None takes it out.

    Args:
        page: the title of another page, into whose address it is put when people go there.
    """
    address = _address()
    choices = address.choices.setdefault(page or address.page, {})
    if value is None:
        choices.pop(name, None)
    else:
        choices[name] = value
    _write(address)


def _address() -> _Address:
    return st.session_state[_KEY]


def _change(address: _Address, victim: str | None, run: str | None) -> None:
    """Look at another victim or run; choices that are of another network go."""
    before, address.complaint, address.damaged = address.victim, None, None
    _settle(address, victim, run)
    if address.victim != before:
        for page, names in _OF_A_NETWORK.items():
            for name in names:
                address.choices.get(page, {}).pop(name, None)
    _write(address)


def _settle(address: _Address, victim: str | None, run: str | None) -> None:
    """Take over valid names; a wrong one gives a complaint and the nearest thing that exists."""
    cards = cache.victim_cards()
    found = cache.run_victim(run) if run is not None else None
    if run is not None and found is None:
        address.complaint = f"There is no run '{run}'. Choose one in the sidebar, or start one on the page Defend."
        if cache.is_damaged(run):
            address.complaint = f"Run {run} is damaged and cannot be read. Delete it, or choose another in the sidebar."
            address.damaged = run
        run = None
    if found is not None and found not in cards:
        address.complaint = f"The victim of the run '{run}', '{found}', is not on this machine. Choose another run."
        run = found = None
    victim = found or victim
    if victim is not None and victim not in cards:
        if cards:
            address.complaint = f"There is no victim '{victim}'. Choose one in the sidebar."
        victim = None
    address.victim = victim or next(iter(cards), None)
    address.run = run if victim is not None else None
    why = cache.another_victim(address.run) if address.run is not None else None
    if address.run is None or why is None:
        return
    if not cache.fits_victim(address.run):
        address.complaint = (
            f"The victim of the run '{run}' is another network than when it began, and its masks do not fit that one. "
            "Choose another run."
        )
        address.run = None
    else:
        measured = "What is measured here is of today's victim under the run's masks."
        if address.page == "Defend":
            measured = "What stands here was recorded of the earlier one; the other pages measure today's."
        address.complaint = f"The victim of the run '{run}' is another one than when it began: {why}. {measured}"


def _write(address: _Address) -> None:
    wanted = address.query()
    if st.query_params.to_dict() != wanted:
        st.query_params.from_dict(wanted)
