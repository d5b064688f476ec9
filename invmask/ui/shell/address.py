"""The page address holds the reader's choices, so that a refresh, a second screen or a whole class sees the same page.

Every page has `?victim=...&run=...`, and its own choices after these. Streamlit drops the query when a reader switches
pages, so the session keeps the choices and writes them back when a page is opened.

An address may come from anywhere. Invalid values, and names of deleted things, are removed from the address, and one
sentence says so. So the page always shows what its address says.
"""

from collections.abc import Iterable, Mapping, Sequence

import streamlit as st

from invmask.runs.store import named_masks
from invmask.ui.shell import cache, hidden, named_in_address, navigation
from invmask.ui.shell.address_memory import AddressMemory
from invmask.ui.shell.address_words import EVERYWHERE, HIDE, MASKS, OF_A_NETWORK, RUN, SETS_UP, VICTIM, WORDS
from invmask.ui.shell.hidden import Hidden
from invmask.ui.shell.names import quoted
from invmask.ui.shell.new_run_words import new_run_words

MOST_LETTERS = 30_000
"""Longest value of one choice. Pages write shorter ones; servers accept no links that are much longer."""
_KEY = "address"
_NOT_UNDERSTOOD = "not understood"
_NAMED = 4


def arrive(page: str) -> None:
    """Synchronise the address and the session. Called once at the start of every run of app.py.

    Values in the address win. Values missing after a switch of pages are written back from the session.
    """
    address: AddressMemory = st.session_state.setdefault(_KEY, AddressMemory())
    asked = st.query_params.to_dict()
    # The address may still hold choices of the previous page; they are not choices of this page.
    left = address.choices.get(address.page, {}) if address.page != page else {}
    shared = (VICTIM, RUN, *EVERYWHERE)
    own = {name: value for name, value in asked.items() if name not in shared and left.get(name) != value}
    address.everywhere.take(asked)
    if address.page != page:
        if address.page:
            own = {name: value for name, value in own.items() if name in _words(page)}
        address.page, address.asked, address.left_out = page, set(), {}
    choices = address.choices.setdefault(page, {})
    address.asked |= {name for name, value in own.items() if choices.get(name) != value}
    choices.update(own)
    for name, value in own.items():
        if name not in _words(page):
            leave_out(name, "not known on this page")
        elif len(value) > MOST_LETTERS:
            leave_out(name, "too long")
    text, wrong = hidden.read(address.everywhere.values.get(HIDE, ""))
    if wrong:
        address.everywhere.choose({HIDE: text})
        address.left_out |= {f"{HIDE}={part}": why for part, why in wrong.items()}
    _settle(address, asked.get(VICTIM) or address.victim, asked.get(RUN) or address.run)
    if page == SETS_UP and address.run is not None:
        for name in held(new_run_words()):
            leave_out(name, "the run has its own settings")
    _write(address)


def hides() -> Hidden:
    """What the reader's link hides; all controls, if they follow a presenter. May be called before `arrive`."""
    held = _address().everywhere.values.get(HIDE, "") if _KEY in st.session_state else ""
    found = hidden.parse(st.query_params.get(HIDE) or held)[0]
    return found.without_controls() if _address().follows else found


def current_victim() -> str | None:
    """The victim of every page; None only if there is no victim at all.

    Every page calls this first: if its script was run without app.py, the run starts again through app.py.
    """
    navigation.come_in_through_app()
    return _address().victim


def current_run() -> str | None:
    """The run of every page, a run of `current_victim`; None if none is chosen."""
    return _address().run


def complaint() -> str | None:
    """What was wrong in the address: a sentence about victim or run, and one about choices; None if all is well."""
    address = _address()
    sentences = [address.complaint] if address.complaint else []
    if address.left_out:
        named = [f"{quoted(word)} ({why})" for word, why in address.left_out.items()]
        more = f" and {len(named) - _NAMED:,} more" if len(named) > _NAMED else ""
        sentences.append(f"Left out of the address: {', '.join(named[:_NAMED])}{more}.")
    return " ".join(sentences) or None


def sets_up_run() -> bool:
    """Whether the page is the one where a new run is set up, and no run is chosen."""
    return _address().page == SETS_UP and _address().run is None


def drawn() -> None:
    """Note that the page was drawn with its requested choices. Called once at the end of every run of app.py."""
    _address().asked.clear()


def leave_out(
    name: str, why: str = _NOT_UNDERSTOOD, part: str | None = None, kept: str | None = None, told: bool = False
) -> None:
    """Remove a choice, or a part of it, from the address; show a message if the page was opened with it.

    Args:
        name: name of the choice.
        why: the reason, in a few words.
        part: the part that is removed; None for the whole choice.
        kept: the value that remains; None for nothing.
        told: show a message in any case, because another user may be the cause.
    """
    address = _address()
    choices = address.choices.setdefault(address.page, {})
    value = address.everywhere.drop(name) if name in EVERYWHERE else choices.pop(name, "")
    if kept is not None:
        choices[name] = kept
    if told or name in address.asked:
        address.left_out[f"{name}={value if part is None else part}"] = why
    _write(address)


def damaged_run() -> str | None:
    """The unreadable run that the address named and the complaint is about; None if all is well."""
    return _address().damaged


def set_victim(name: str) -> None:
    """Choose another victim, and its last chosen run. Best called in a widget's callback."""
    address = _address()
    if name != address.victim and not hides().control(VICTIM):
        address.last_runs[address.victim or ""] = address.run
        _change(address, name, address.last_runs.get(name))


def set_run(run: str | None) -> None:
    """Choose another run (with its victim), or none. Best called in a widget's callback.

    If it is called later in a page, `st.rerun()` has to follow, because the sidebar is drawn already.
    """
    address = _address()
    _change(address, address.victim, run)


def forget_run(run: str) -> None:
    """Forget a deleted run: choose no run if it is the chosen one, and never return to it."""
    address = _address()
    for victim in [victim for victim, last in address.last_runs.items() if last == run]:
        address.last_runs[victim] = None
    if run in (address.run, address.damaged):
        set_run(None)


def number(name: str, most: int | None = None, least: int = 0, why: str = "not there") -> int | None:
    """A choice that is a whole number from 0 to 999,999; None if the address has no valid one.

    Args:
        least, most: the valid range, as far as it is known.
        why: the reason given for a number out of this range.
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
    """Whether the text is a whole number from 0 to 999,999, in plain digits."""
    return text.isascii() and text.isdecimal() and len(text) <= 6


def choice(name: str, default: str, allowed: Sequence[str] | None = None) -> str:
    """This page's choice from the address; the default if there is none or it is not allowed."""
    address = _address()
    value = address.choices.get(address.page, {}).get(name)
    if value is None:
        return default
    if allowed is not None and value not in allowed:
        leave_out(name)
        return default
    return value


def mask(name: str, default: str, names: Sequence[str]) -> str:
    """This page's choice of a mask; the default, with a message, if it is not one of `names`."""
    value = choice(name, default)
    if value == default or value in names:
        return value
    # Another user may have deleted the mask.
    leave_out(name, "the run has no such mask, or no longer", told=True)
    return default


def choose(name: str, value: str | None, page: str | None = None) -> None:
    """Put a choice of this page into the address; None removes it.

    Args:
        page: the title of another page; the choice is put into its address when the reader goes there.
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


def everywhere(name: str) -> str | None:
    """A choice that stays on all pages, one of `EVERYWHERE`; None if the address has none."""
    return _address().everywhere.values.get(name)


def asked_everywhere(name: str) -> str | None:
    """A choice that stays on all pages. May be called before `arrive`."""
    _address().everywhere.take(st.query_params.to_dict())
    return everywhere(name)


def set_follows(follows: bool) -> None:
    """Note whether the page shows what a presenter looks at. Then it has no controls."""
    _address().follows = follows


def follows() -> bool:
    """Whether the page shows what a presenter looks at."""
    return _address().follows


def shown() -> dict[str, str]:
    """What the page shows: victim, run, and the page's own choices."""
    address = _address()
    return {name: value for name, value in address.query().items() if name not in EVERYWHERE}


def show(query: Mapping[str, str]) -> None:
    """Show what somebody else's address holds, instead of the reader's own choices. Called after `arrive`."""
    address = _address()
    own = {name: value for name, value in query.items() if name in _words(address.page) and len(value) <= MOST_LETTERS}
    address.choices[address.page], address.asked = own, set()
    address.complaint = address.damaged = None
    _settle(address, query.get(VICTIM), query.get(RUN))
    _write(address)


def choose_everywhere(values: Mapping[str, str | None]) -> None:
    """Put choices that stay on all pages into the address; None removes one. Best called in a widget's callback."""
    _address().everywhere.choose(values)
    _write(_address())


def page() -> str:
    """The title of the page shown."""
    return _address().page


def choices_of(page: str) -> dict[str, str]:
    """The choices of a page, as its address holds them."""
    return dict(_address().choices.get(page, {}))


def held(names: Iterable[str]) -> dict[str, str]:
    """This page's choices of these names, as the address holds them."""
    choices = _address().choices.get(_address().page, {})
    return {name: choices[name] for name in names if name in choices}


def replace(names: Iterable[str], values: Mapping[str, str], chosen: bool) -> None:
    """Put several choices of this page into the address at once, and remove the others of `names`.

    Args:
        chosen: whether the reader has just chosen them; otherwise messages about the address stay.
    """
    address = _address()
    choices = address.choices.setdefault(address.page, {})
    for name in names:
        choices.pop(name, None)
    choices.update(values)
    if chosen:
        address.asked.difference_update(names)
        address.left_out = {}
    _write(address)


def _address() -> AddressMemory:
    return st.session_state.setdefault(_KEY, AddressMemory())


def _words(page: str) -> tuple[str, ...]:
    return WORDS[page] + (new_run_words() if page == SETS_UP else ())


def _change(address: AddressMemory, victim: str | None, run: str | None) -> None:
    """Choose another victim or run; choices that belong to another network are removed."""
    before, address.complaint, address.damaged, address.left_out = address.victim, None, None, {}
    _settle(address, victim, run)
    known = [named_masks.LEARNED, named_masks.NOTHING, named_masks.TOP]
    if address.run is not None:
        known += named_masks.list_names(cache.store().run(address.run))
    for page, name in MASKS.items():
        if address.choices.get(page, {}).get(name) not in known:
            address.choices.get(page, {}).pop(name, None)
    if address.victim != before:
        for page, names in OF_A_NETWORK.items():
            for name in names:
                address.choices.get(page, {}).pop(name, None)
    _write(address)


def _settle(address: AddressMemory, victim: str | None, run: str | None) -> None:
    """Take over valid names; what was wrong before is said until the reader chooses something else."""
    found = named_in_address.settle(victim, run, address.page)
    address.victim, address.run = found.victim, found.run
    address.complaint = found.complaint or address.complaint
    address.damaged = found.damaged or address.damaged


def _write(address: AddressMemory) -> None:
    wanted = address.query()
    if st.query_params.to_dict() != wanted:
        st.query_params.from_dict(wanted)
