"""The settings of a new run, in the sidebar below victim and run, in the order in which a user decides on them."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby

import streamlit as st

from invmask import glossary
from invmask.data.budget import budget_size
from invmask.defenses import registry
from invmask.defenses.entry import Entry
from invmask.defenses.settings import DefenseConfig, Setting
from invmask.errors import UserError
from invmask.models import is_transformer
from invmask.runs.store.spec import RunSpec
from invmask.runs.work.bench import spec_with
from invmask.ui.defend import exercise
from invmask.ui.defend.exercise import Exercise, Offer
from invmask.ui.defend.hidden_settings import show_hidden
from invmask.ui.shell import address, cache
from invmask.ui.shell.new_run_words import DEFENSE, PRESET, SPC
from invmask.victims.victim import VictimCard

DEFENSE_KEY, PRESET_KEY, SPC_KEY = "defend/defense", "defend/preset", "defend/spc"
_LOADED_KEY, _KIND_KEY = "defend/loaded", "defend/transformer"
SPC_HELP = glossary.text("spc")


@dataclass(frozen=True)
class Draft:
    """The settings shown, for the next new run.

    Attributes:
        config: None if the settings are not valid; `problem` then says why in one sentence.
    """

    card: VictimCard
    defense: str
    preset: str
    spc: int
    config: DefenseConfig | None
    problem: str | None = None

    @property
    def entry(self) -> Entry:
        """The defence's description in the registry."""
        return registry.entry(self.defense)

    def spec(self) -> RunSpec:
        """The specification of a run with these settings on this machine.

        Raises:
            UserError: the settings, or the machine's settings, are not valid.
        """
        if self.config is None:
            raise UserError(self.problem or "These settings make no sense.")
        card = self.card
        return spec_with(card.name, card.architecture, self.preset, self.spc, self.config, defense=self.defense)

    def same_as(self, spec: RunSpec) -> bool:
        """Whether `spec` has these settings."""
        own = (self.card.name, self.defense, self.preset, self.spc, self.config)
        return own == (spec.victim, spec.defense, spec.preset, spec.spc, spec.config)


def show(card: VictimCard, run: str | None) -> Draft:
    """Draw the controls. They start with the settings of the chosen run or of the address, or the first preset."""
    transformer = is_transformer(card.architecture)
    offer = Offer(transformer, exercise.spc_offered(card))
    _load(run, transformer)
    _take_exercise(run, offer)
    with st.sidebar:
        hidden = address.hides()
        st.subheader("Settings", anchor=False)
        note = st.empty()
        defense = _choose_defense(offer)
        preset_name = _choose_preset(defense, offer)
        spc = _choose_spc(offer)
        st.caption(_budget_words(card, spc))
        start, every = defense.preset(preset_name, transformer), defense.config.settings()
        values: dict[str, float | None] = {each.name: st.session_state.get(_key(defense, each.name)) for each in every}
        seen = [setting for setting in every if not hidden.control(setting.name)]
        values |= {each.name: _number(defense, each, start, offer) for each in seen if each.name == "seed"}
        rest = [setting for setting in seen if setting.name != "seed"]
        values |= _fields(defense, [setting for setting in rest if setting.basic], start, offer)
        if folded := [setting for setting in rest if not setting.basic]:
            with st.expander("Rarely changed"):
                values |= _fields(defense, folded, start, offer)
        draft = _draft(card, defense, preset_name, spc, values)
        show_hidden(draft.entry, preset_name, spc, values, start, hidden)
        note.caption(_note(draft, run))
    if run is None:
        exercise.keep(_shown(), offer)
    return draft


def _budget_words(card: VictimCard, spc: int) -> str:
    number, classes = budget_size(card.dataset, spc), len(card.dataset_info.classes)
    of_each = f"{spc} of each class" if number == spc * classes else f"at most {spc} of each class"
    return f"**{number:,} clean images**: {of_each}."


def set_up(defense: str, preset_name: str, spc: int, config: DefenseConfig, transformer: bool) -> None:
    """Fill the controls for a new run, before the page Defend is opened without a run.

    Args:
        transformer: whether the settings are for a network whose encoder blocks are masked.
    """
    st.session_state[_LOADED_KEY] = None
    st.session_state[_KIND_KEY] = transformer
    st.session_state[DEFENSE_KEY] = defense
    st.session_state[PRESET_KEY] = preset_name
    st.session_state[SPC_KEY] = spc
    _fill(registry.entry(defense), config.as_json())


def _choose_defense(offer: Offer) -> Entry:
    every = registry.entries()
    if address.hides().control(DEFENSE):
        return every[st.session_state[DEFENSE_KEY]]
    chosen = st.selectbox(
        "Defence",
        list(every),
        key=DEFENSE_KEY,
        format_func=lambda name: every[name].title,
        on_change=_take_defense,
        args=(offer,),
        help="\n\n".join(f"**{entry.title}** ({entry.family}): {entry.explanation}" for entry in every.values()),
        persist_state="session",
    )
    return every[chosen]


def _choose_preset(defense: Entry, offer: Offer) -> str:
    if address.hides().control(PRESET):
        return st.session_state[PRESET_KEY] or defense.first_preset
    words = " ".join(f"**{name}**: {defense.preset_words[name]}" for name in defense.presets)
    chosen = st.segmented_control(
        "Preset",
        list(defense.presets),
        key=PRESET_KEY,
        required=True,
        on_change=_change_preset,
        args=(offer,),
        help=f"Where the settings below start. {words}",
        persist_state="session",
        width="stretch",
    )
    return chosen or defense.first_preset


def _choose_spc(offer: Offer) -> int:
    if offer.most == 1:
        # A slider needs two ends.
        st.session_state[SPC_KEY] = 1
        st.caption(f"**{glossary.GLOSSARY['spc'].title}**: 1, for a class of this data set has no more.", help=SPC_HELP)
        return 1
    # A value set for another data set, or by a run from another machine, may be larger than the maximum here.
    st.session_state[SPC_KEY] = min(st.session_state[SPC_KEY], offer.most)
    if address.hides().control(SPC):
        return st.session_state[SPC_KEY]
    return st.slider(
        glossary.GLOSSARY["spc"].title,
        1,
        offer.most,
        key=SPC_KEY,
        on_change=_keep,
        args=(offer,),
        help=SPC_HELP,
        persist_state="session",
    )


def _fields(defense: Entry, every: list[Setting], start: DefenseConfig, offer: Offer) -> dict[str, float | None]:
    """Draw a control for each setting; the settings of a group are side by side below its heading."""
    values: dict[str, float | None] = {}
    for group, found in groupby(every, key=lambda setting: setting.group):
        members = list(found)
        if not group:
            values |= {setting.name: _control(defense, setting, start, offer) for setting in members}
            continue
        help_text = "\n\n".join(f"**{setting.short}**: {setting.explanation}" for setting in members)
        st.markdown(f":small[{group}]", help=help_text)
        for column, setting in zip(st.columns(len(members), gap="small"), members, strict=True):
            with column:
                values[setting.name] = _number(defense, setting, start, offer, in_group=True)
    return values


def _note(draft: Draft, run: str | None) -> str:
    """What the settings are for, or why they are not valid."""
    if draft.problem is not None:
        return f":red[{draft.problem}]"
    if run is None:
        return "For a new run: Step or Run begins it."
    try:
        same = draft.same_as(cache.summary(run).spec)
    except UserError:
        same = False
    if same:
        return "These are the settings of the run shown."
    return ":violet[These settings differ from those of the run shown.] Reset begins a new run with them."


def _draft(card: VictimCard, defense: Entry, preset: str, spc: int, values: dict[str, float | None]) -> Draft:
    missing = [setting.title for setting in defense.config.settings() if values[setting.name] is None]
    if missing:
        return Draft(card, defense.name, preset, spc, None, f"{missing[0]} needs a number.")
    try:
        return Draft(card, defense.name, preset, spc, defense.config(**values))  # type: ignore[arg-type]
    except UserError as error:
        return Draft(card, defense.name, preset, spc, None, str(error))


def _load(run: str | None, transformer: bool) -> None:
    """Fill the controls: at the start, when another run is chosen, and for another kind of network.

    A preset has other values on transformers, so values set for one kind of network must not appear under the preset's
    name for the other kind.
    """
    loaded = st.session_state.get(_LOADED_KEY, "nothing")
    if loaded == run or (run is None and loaded != "nothing"):
        if run is None and st.session_state.get(_KIND_KEY) != transformer:
            _take_preset(transformer)
        return
    spec = None
    if run is not None:
        # The page reports a damaged run; the controls are there for a new run.
        with contextlib.suppress(UserError):
            spec = cache.summary(run).spec
    if spec is not None and spec.preset in spec.entry.presets:
        set_up(spec.defense, spec.preset, spec.spc, spec.config, transformer)
    else:
        first = registry.entry(registry.DEFAULT if spec is None else spec.defense)
        config = spec.config if spec else first.preset(first.first_preset, transformer)
        set_up(first.name, first.first_preset, spec.spc if spec else cache.FIRST_SPC, config, transformer)
    st.session_state[_LOADED_KEY] = run


def _take_exercise(run: str | None, offer: Offer) -> None:
    """Fill the controls with the settings in an address that somebody opened. A run has its own settings."""
    if run is not None:
        exercise.forget()
        return
    asked = exercise.opened(offer)
    if asked is None:
        return
    st.session_state[_KIND_KEY] = offer.transformer
    st.session_state[DEFENSE_KEY] = asked.defense
    st.session_state[PRESET_KEY] = asked.preset
    st.session_state[SPC_KEY] = asked.spc
    _fill(registry.entry(asked.defense), asked.values)


def _shown() -> Exercise:
    """What the controls show."""
    defense = registry.entry(st.session_state[DEFENSE_KEY])
    values = {setting.name: st.session_state.get(_key(defense, setting.name)) for setting in defense.config.settings()}
    preset = st.session_state[PRESET_KEY] or defense.first_preset
    return Exercise(defense.name, preset, st.session_state[SPC_KEY], values)


def _keep(offer: Offer) -> None:
    """Put what the reader has chosen into the address, before anything is drawn with an address from before."""
    if address.current_run() is None:
        exercise.keep(_shown(), offer, chosen=True)


def _take_defense(offer: Offer) -> None:
    st.session_state[PRESET_KEY] = registry.entry(st.session_state[DEFENSE_KEY]).first_preset
    _change_preset(offer)


def _change_preset(offer: Offer) -> None:
    _take_preset(offer.transformer)
    _keep(offer)


def _take_preset(transformer: bool) -> None:
    defense = registry.entry(st.session_state[DEFENSE_KEY])
    key = _key(defense, "seed")
    seed = st.session_state.get(key)
    st.session_state[_KIND_KEY] = transformer
    _fill(defense, defense.preset(st.session_state[PRESET_KEY], transformer).as_json())
    # The reader chooses the seed; presets do not change it.
    if seed is not None:
        st.session_state[key] = seed


def _fill(defense: Entry, values: Mapping[str, float | None]) -> None:
    for setting in defense.config.settings():
        if (value := values[setting.name]) is not None:
            st.session_state[_key(defense, setting.name)] = int(value) if setting.whole else float(value)


def _key(defense: Entry, name: str) -> str:
    return f"defend/set/{defense.name}/{name}"


def _control(defense: Entry, setting: Setting, start: DefenseConfig, offer: Offer) -> float | None:
    """A slider for a basic setting that is not a whole number; otherwise a field."""
    if not setting.basic or setting.whole:
        return _number(defense, setting, start, offer)
    return st.slider(
        _label(defense, setting, start),
        float(setting.minimum),
        float(setting.maximum),
        step=float(setting.step),
        format="%g",
        key=_key(defense, setting.name),
        on_change=_keep,
        args=(offer,),
        help=setting.explanation,
        persist_state="session",
    )


def _number(
    defense: Entry, setting: Setting, start: DefenseConfig, offer: Offer, in_group: bool = False
) -> float | None:
    """A field without an upper limit: a value that is too large gives a message instead of being silently refused."""
    return st.number_input(
        _label(defense, setting, start),
        0 if setting.whole else 0.0,
        step=int(setting.step) if setting.whole else float(setting.step),
        format="%d" if setting.whole else "%g",
        key=_key(defense, setting.name),
        on_change=_keep,
        args=(offer,),
        help=None if in_group else setting.explanation,
        persist_state="session",
    )


def _label(defense: Entry, setting: Setting, start: DefenseConfig) -> str:
    """The title and its symbol, and the preset's value if the setting differs from it."""
    label = setting.short
    if setting.symbol:
        label += f", {setting.symbol}"
    usual, value = getattr(start, setting.name), st.session_state.get(_key(defense, setting.name))
    if setting.name == "seed" or value is None or value == usual:
        return label
    return f"{label} :violet[(preset {usual:g})]"
