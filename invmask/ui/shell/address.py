"""What the page address holds, so that a refresh, a second screen or a whole class sees the same.

`?victim=...&run=...` on every page, and each page's own choices beside them. Streamlit drops the query
when people switch pages; what was there is kept in the session and written back on arrival.

An address may come from anywhere. A word of it that makes no sense, or names what is gone, is left out, and one
sentence says so: what stands in the address is what is shown.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import streamlit as st

from invmask.runs.store import named_masks
from invmask.ui.shell import cache, navigation
from invmask.ui.shell.names import quoted

MOST_LETTERS = 30_000
"""Of one choice. More than any that a page writes; a server takes no link that is much longer."""
_KEY = "address"
VICTIM, RUN = "victim", "run"
_OF_A_NETWORK = {"Neurons": ("channel", "cut"), "Export": ("channel",)}
"""Choices by page that name channels: in another network they would be others."""
_MASKS = {"Flip": "mask", "Neurons": "base"}
"""Choices by page that name a mask of the run: another run need not have one of that name."""
_WORDS = {
    "Start": ("class", "draw"),
    "Defend": ("round",),
    "Flip": ("view", "images", "show", "round", "pick", "page", "mask"),
    "Neurons": ("by", "n", "colour", "round", "channel", "base", "cut", "draw"),
    "Tune": ("round", "by", "n", "pins", "axis", "base", "seeds", "values"),
    "Export": ("round", "sample", "channel", "draw"),
    "Results": ("sweep", "preset", "view", "cell", "values"),
}
"""Every choice by page; an address that says anything else is told so."""
_NOT_UNDERSTOOD = "not understood"
_NAMED = 4


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
        asked: choices that this page was asked for from outside, until it has been drawn with them. Of others that do
            not fit any more nothing is said: people moved on themselves, and know.
        left_out: what was left out of the address of this page, and why, until people choose something else.
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
    if address.page != page:
        if address.page:
            own = {name: value for name, value in own.items() if name in _WORDS[page]}
        address.page, address.asked, address.left_out = page, set(), {}
    choices = address.choices.setdefault(page, {})
    address.asked |= {name for name, value in own.items() if choices.get(name) != value}
    choices.update(own)
    for name, value in own.items():
        if name not in _WORDS[page]:
            leave_out(name, "not known on this page")
        elif len(value) > MOST_LETTERS:
            leave_out(name, "too long")
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
    """What was wrong in the address: a sentence about victim or run, one about all choices; None when all is well."""
    address = _address()
    sentences = [address.complaint] if address.complaint else []
    if address.left_out:
        named = [f"{quoted(word)} ({why})" for word, why in address.left_out.items()]
        more = f" and {len(named) - _NAMED:,} more" if len(named) > _NAMED else ""
        sentences.append(f"Left out of the address: {', '.join(named[:_NAMED])}{more}.")
    return " ".join(sentences) or None


def drawn() -> None:
    """The page has been drawn with all that it was asked for. Called once at the end of every run of app.py."""
    _address().asked.clear()


def leave_out(
    name: str, why: str = _NOT_UNDERSTOOD, part: str | None = None, kept: str | None = None, told: bool = False
) -> None:
    """Take this page's own choice, or a part of it, out of the address, and say so where people were sent here with it.

    Args:
        why: a few words.
        part: what of it is left out; all of it if None.
        kept: what stays; nothing if None.
        told: say so in any case, for somebody else may be the reason.
    """
    address = _address()
    choices = address.choices.setdefault(address.page, {})
    value = choices.pop(name, "")
    if kept is not None:
        choices[name] = kept
    if told or name in address.asked:
        address.left_out[f"{name}={value if part is None else part}"] = why
    _write(address)


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


def number(name: str, most: int | None = None, least: int = 0, why: str = "not there") -> int | None:
    """A choice that is a whole number from 0 to 999,999; None where the address says nothing that makes sense.

    Args:
        least, most: where it makes sense, as far as that is known.
        why: what is said of a number outside of that.
    """
    text = _address().choices.get(_address().page, {}).get(name)
    if text is None:
        return None
    if not is_number(text):
        leave_out(name)
        return None
    if int(text) < least or (most is not None and int(text) > most):
        leave_out(name, why)
        return None
    return int(text)


def is_number(text: str) -> bool:
    """Whether it is a whole number from 0 to 999,999, in plain digits."""
    return text.isascii() and text.isdecimal() and len(text) <= 6


def choice(name: str, default: str, allowed: Sequence[str] | None = None) -> str:
    """This page's own choice from the address; the default where there is none, or one that is not allowed."""
    address = _address()
    value = address.choices.get(address.page, {}).get(name)
    if value is None:
        return default
    if allowed is not None and value not in allowed:
        leave_out(name)
        return default
    return value


def mask(name: str, default: str, names: Sequence[str]) -> str:
    """This page's own choice of a mask; the default, and a sentence, where it is not one of `names`."""
    value = choice(name, default)
    if value == default or value in names:
        return value
    # Whoever else looks at the run may have deleted it.
    leave_out(name, "the run has no such mask, or no longer", told=True)
    return default


def choose(name: str, value: str | None, page: str | None = None) -> None:
    """Put this page's own choice into the address; None takes it out.

    Args:
        page: the title of another page, into whose address it is put when people go there.
    """
    address = _address()
    choices = address.choices.setdefault(page or address.page, {})
    if page is None:
        address.asked.discard(name)
        address.left_out = {}
    if value is None:
        choices.pop(name, None)
    else:
        choices[name] = value
    _write(address)


def _address() -> _Address:
    return st.session_state[_KEY]


def _change(address: _Address, victim: str | None, run: str | None) -> None:
    """Look at another victim or run; choices that are of another network go."""
    before, address.complaint, address.damaged, address.left_out = address.victim, None, None, {}
    _settle(address, victim, run)
    known = [named_masks.LEARNED, named_masks.NOTHING, named_masks.TOP]
    if address.run is not None:
        known += named_masks.list_names(cache.store().run(address.run))
    for page, name in _MASKS.items():
        if address.choices.get(page, {}).get(name) not in known:
            address.choices.get(page, {}).pop(name, None)
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
        address.complaint = (
            f"There is no run {quoted(run)}. Choose one in the sidebar, or start one on the page Defend."
        )
        if cache.is_damaged(run):
            address.complaint = f"Run {run} is damaged and cannot be read: delete it, or choose another in the sidebar."
            address.damaged = run
        run = None
    if found is not None and found not in cards:
        address.complaint = f"The victim of the run '{run}', '{found}', is not on this machine. Choose another run."
        run = found = None
    victim = found or victim
    if victim is not None and victim not in cards:
        if cards:
            address.complaint = f"There is no victim {quoted(victim)}. Choose one in the sidebar."
        victim = None
    address.victim = victim or next(iter(cards), None)
    address.run = run if victim is not None else None
    why = cache.another_victim(address.run) if address.run is not None else None
    if address.run is None or why is None:
        return
    if not cache.fits_victim(address.run):
        address.complaint = (
            f"The victim of the run '{run}' is not the network that the run began with, and the run's masks do not fit "
            "it. Choose another run."
        )
        address.run = None
    else:
        measured = "This page measures today's victim with the run's masks."
        if address.page == "Defend":
            measured = "This page shows what was recorded with the earlier victim; the other pages measure today's."
        address.complaint = f"The victim of the run '{run}' has changed since the run began: {why}. {measured}"


def _write(address: _Address) -> None:
    wanted = address.query()
    if st.query_params.to_dict() != wanted:
        st.query_params.from_dict(wanted)
