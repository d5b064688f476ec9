"""An exercise as a link: the settings of a new run in the address, so that whoever opens it only has to press Run.

The address holds what differs from what the page offers first. Values out of range are not in it, because no run can
begin with them.
"""

import re
import time
from dataclasses import dataclass, field

import streamlit as st

from invmask.data.budget import MAX_SPC, most_spc
from invmask.defenses import registry
from invmask.defenses.entry import Entry
from invmask.defenses.settings import Setting
from invmask.errors import UserError
from invmask.models import is_transformer
from invmask.runs.store.spec import RunSpec
from invmask.ui.shell import address, cache
from invmask.ui.shell.address_words import LATE_SECONDS
from invmask.ui.shell.new_run_words import DEFENSE, PRESET, SPC, new_run_words
from invmask.victims.victim import VictimCard

_WRITTEN_KEY = "defend/exercise"
_NUMBER = re.compile(r"-?\d{1,12}(\.\d{1,20})?(e-?\d{1,2})?", re.ASCII)


@dataclass(frozen=True)
class Exercise:
    """How a new run is set up.

    Attributes:
        values: every setting of the defence by name; None for an empty field.
    """

    defense: str
    preset: str
    spc: int
    values: dict[str, float | None]


@dataclass(frozen=True)
class Offer:
    """What the page offers first depends on the victim.

    Attributes:
        transformer: whether encoder blocks of its network are masked.
        most: the largest data budget of its data set.
    """

    transformer: bool
    most: int

    @property
    def spc(self) -> int:
        return min(cache.FIRST_SPC, self.most)


@dataclass(frozen=True)
class _Written:
    """What the page itself wrote into the address.

    Attributes:
        before: what it had written before that.
        since: the time of the change.
    """

    words: dict[str, str] = field(default_factory=dict)
    before: dict[str, str] = field(default_factory=dict)
    since: float = 0.0

    def known(self, held: dict[str, str]) -> bool:
        """Whether the address holds this, or is late: words that it does not hold stay as they are."""
        late = time.monotonic() - self.since < LATE_SECONDS and held == {**self.words, **self.before}
        return late or held == self.words


def opened(offer: Offer) -> Exercise | None:
    """The exercise in the address; None if the address holds what the page itself wrote, so the controls have it."""
    held = address.held(new_run_words())
    if _written().known(held):
        return None
    entry = registry.entry(address.choice(DEFENSE, registry.DEFAULT, list(registry.entries())))
    preset = address.choice(PRESET, entry.first_preset, list(entry.presets))
    spc = address.number(SPC, offer.most, 1, f"has to be from 1 to {offer.most}")
    usual, settings = entry.preset(preset, offer.transformer), entry.config.settings()
    values: dict[str, float | None] = {setting.name: getattr(usual, setting.name) for setting in settings}
    for name in held:
        if name not in (DEFENSE, PRESET, SPC, *values):
            address.leave_out(name, f"{entry.title} has no such setting")
    for setting in settings:
        if setting.name in held and (value := _parsed(setting, held[setting.name])) is not None:
            values[setting.name] = value
    return Exercise(entry.name, preset, offer.spc if spc is None else spc, values)


def keep(exercise: Exercise, offer: Offer, chosen: bool = False) -> None:
    """Put the exercise into the address.

    Args:
        chosen: whether the reader has just chosen it.
    """
    words, written = _words(exercise, offer), _written()
    address.replace(new_run_words(), words, chosen)
    if words != written.words:
        st.session_state[_WRITTEN_KEY] = _Written(words, written.words, time.monotonic())


def words_of(spec: RunSpec, card: VictimCard) -> dict[str, str]:
    """The words for a new run with the settings of a run."""
    offer = Offer(is_transformer(card.architecture), spc_offered(card))
    if spec.preset not in spec.entry.presets:
        return {}
    return _words(Exercise(spec.defense, spec.preset, spec.spc, spec.config.as_json()), offer)


def spc_offered(card: VictimCard) -> int:
    """The largest data budget that can be chosen; if the images are missing, starting the run reports it."""
    try:
        return most_spc(card.dataset)
    except UserError:
        return MAX_SPC


def forget() -> None:
    """Note that the address holds no exercise, because a run is shown."""
    st.session_state[_WRITTEN_KEY] = _Written()


def _written() -> _Written:
    return st.session_state.get(_WRITTEN_KEY, _Written())


def _words(exercise: Exercise, offer: Offer) -> dict[str, str]:
    entry = registry.entry(exercise.defense)
    words = {
        DEFENSE: (entry.name, registry.DEFAULT),
        PRESET: (exercise.preset, entry.first_preset),
        SPC: (str(exercise.spc), str(offer.spc)),
    }
    found = {name: value for name, (value, first) in words.items() if value != first}
    return found | _changed(entry, exercise, offer)


def _changed(entry: Entry, exercise: Exercise, offer: Offer) -> dict[str, str]:
    """The seed, and then every other setting that differs from the preset."""
    usual, found = entry.preset(exercise.preset, offer.transformer), {}
    for setting in sorted(entry.config.settings(), key=lambda each: each.name != "seed"):
        value = exercise.values[setting.name]
        if value is not None and value != getattr(usual, setting.name) and _in_range(setting, value):
            found[setting.name] = _text(value)
    return found


def _parsed(setting: Setting, text: str) -> float | None:
    """A setting's value from the address; None, with a message, if it is not one."""
    value = float(text) if _NUMBER.fullmatch(text) else None
    if value is None or (setting.whole and not value.is_integer()):
        address.leave_out(setting.name, "not a whole number" if setting.whole else "not a number")
        return None
    if not _in_range(setting, value):
        address.leave_out(setting.name, f"has to be from {_text(setting.minimum)} to {_text(setting.maximum)}")
        return None
    return int(value) if setting.whole else value


def _in_range(setting: Setting, value: float) -> bool:
    return setting.minimum <= value <= setting.maximum


def _text(value: float) -> str:
    """A value as text from which exactly this value is read again: `5`, `0.1`, `1e-05`."""
    return repr(value).removesuffix(".0")
