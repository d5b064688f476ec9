"""The settings of a new run, in the sidebar below victim and run, in the order in which one decides."""

import contextlib
from dataclasses import dataclass

import streamlit as st

from invmask.attacks.victims import VictimCard
from invmask.data.budget import MAX_SPC, most_spc
from invmask.defenses.ims.config import PRESETS, SETTINGS, IMSConfig, Setting, preset
from invmask.errors import UserError
from invmask.models import is_transformer
from invmask.runs.spec import RunSpec
from invmask.runs.subject import spec_with
from invmask.ui import cache

PRESET_KEY, SPC_KEY, _LOADED_KEY, _KIND_KEY = "defend/preset", "defend/spc", "defend/loaded", "defend/transformer"
FIRST_PRESET, FIRST_SPC = "default", 10
PRESET_HELP = (
    "Where the settings below start. **default**: ours, chosen by measurement for speed and for what it keeps. "
    "**adaptive**: presses as hard as the clean answers allow, for networks that default leaves fooled. "
    "**paper**: the published settings, to the letter."
)
SPC_HELP = (
    "Samples per class: how many clean images of each class the defender holds. They come from the training set, "
    "never from the images that the results are measured on."
)
ROUNDS_HELP = "\n\n".join(
    f"**{setting.title.rpartition(', ')[2].capitalize()}**: {setting.explanation}"
    for setting in SETTINGS
    if setting.name.startswith("rounds_")
)

_SLIDERS = ("sparsity_weight", "pressure", "steepness", "norm_bound")
_ROUNDS = ("rounds_initialise", "rounds_minimise", "rounds_sparsify")
_OFTEN = ("inner_steps", "inner_learning_rate", "outer_learning_rate")
_BY_NAME = {setting.name: setting for setting in SETTINGS}
_RARELY = tuple(s.name for s in SETTINGS if s.name not in (*_SLIDERS, *_ROUNDS, *_OFTEN, "seed"))


@dataclass(frozen=True)
class Draft:
    """The settings shown, for the next new run.

    Attributes:
        config: None where they make no sense; `problem` then says why in one sentence.
    """

    card: VictimCard
    preset: str
    spc: int
    config: IMSConfig | None
    problem: str | None = None

    def spec(self) -> RunSpec:
        """What a run with these settings is made of, on this machine.

        Raises:
            UserError: the settings, or the machine's own, make no sense.
        """
        if self.config is None:
            raise UserError(self.problem or "These settings make no sense.")
        return spec_with(self.card.name, self.card.architecture, self.preset, self.spc, self.config)

    def same_as(self, spec: RunSpec) -> bool:
        """Whether `spec` has these settings."""
        return (self.card.name, self.preset, self.spc, self.config) == (spec.victim, spec.preset, spec.spc, spec.config)


def show(card: VictimCard, run: str | None) -> Draft:
    """Draw the controls. They start from the run that is looked at, or from the preset `default`."""
    transformer = is_transformer(card.architecture)
    _load(run, transformer)
    with st.sidebar:
        st.subheader("Settings", anchor=False)
        note = st.empty()
        chosen = st.segmented_control(
            "Preset",
            list(PRESETS),
            key=PRESET_KEY,
            required=True,
            on_change=_take_preset,
            args=(transformer,),
            help=PRESET_HELP,
            persist_state="session",
            width="stretch",
        )
        preset_name = chosen or FIRST_PRESET
        spc = _choose_spc(spc_offered(card))
        classes = len(card.dataset_info.classes)
        st.caption(f"**{spc * classes:,} clean images**: {spc} of each class.")
        start = preset(preset_name, transformer)
        values: dict[str, float | None] = {"seed": _number("seed", start)}
        values |= {name: _slider(name, start) for name in ("sparsity_weight", "pressure", "steepness")}
        st.markdown(":small[Rounds of each phase, at most]", help=ROUNDS_HELP)
        for column, name in zip(st.columns(3, gap="small", vertical_alignment="bottom"), _ROUNDS, strict=True):
            with column:
                values[name] = _number(name, start, title=_BY_NAME[name].title.rpartition(", ")[2].capitalize())
        values |= {name: _number(name, start) for name in _OFTEN}
        values["norm_bound"] = _slider("norm_bound", start)
        with st.expander("Rarely changed"):
            values |= {name: _number(name, start) for name in _RARELY}
        draft = _draft(card, preset_name, spc, values)
        note.caption(_note(draft, run))
    return draft


def spc_offered(card: VictimCard) -> int:
    """The largest data budget that can be asked for; where the images are not here, running says so."""
    try:
        return most_spc(card.dataset)
    except UserError:
        return MAX_SPC


def set_up(preset_name: str, spc: int, config: IMSConfig, transformer: bool) -> None:
    """Fill the controls for a new run, before the page Defend is gone to without a run.

    Args:
        transformer: whether the settings are for one.
    """
    st.session_state[_LOADED_KEY] = None
    st.session_state[_KIND_KEY] = transformer
    st.session_state[PRESET_KEY] = preset_name
    st.session_state[SPC_KEY] = spc
    _fill(config)


def _choose_spc(most: int) -> int:
    if most == 1:
        # A slider needs two ends.
        st.session_state[SPC_KEY] = 1
        st.caption("**SPC, samples per class**: 1, for a class of this data set has no more.", help=SPC_HELP)
        return 1
    # What was set for another data set, or by a run made elsewhere, may be more than there is.
    st.session_state[SPC_KEY] = min(st.session_state[SPC_KEY], most)
    return st.slider("SPC, samples per class", 1, most, key=SPC_KEY, help=SPC_HELP, persist_state="session")


def _note(draft: Draft, run: str | None) -> str:
    """What the settings are for, or why they make no sense."""
    if draft.problem is not None:
        return f":red[{draft.problem}]"
    if run is None:
        return "For a new run: Step or Run begins it."
    try:
        same = draft.same_as(cache.summary(run).spec)
    except UserError:
        same = False
    return "As in the run shown." if same else ":violet[Not those of the run shown.] Reset begins a new one."


def _draft(card: VictimCard, name: str, spc: int, values: dict[str, float | None]) -> Draft:
    missing = [_BY_NAME[name].title for name, value in values.items() if value is None]
    if missing:
        return Draft(card, name, spc, None, f"{missing[0]} needs a number.")
    try:
        return Draft(card, name, spc, IMSConfig(**values))  # type: ignore[arg-type]
    except UserError as error:
        return Draft(card, name, spc, None, str(error))


def _load(run: str | None, transformer: bool) -> None:
    """Fill the controls: at first, whenever another run is looked at, and for another kind of network.

    A preset is not the same on transformers: what is set for the one kind would go by the preset's name on the other.
    """
    loaded = st.session_state.get(_LOADED_KEY, "nothing")
    if loaded == run or (run is None and loaded != "nothing"):
        if run is None and st.session_state.get(_KIND_KEY) != transformer:
            _take_preset(transformer)
        return
    spec = None
    if run is not None:
        # Of a damaged run the page tells; the controls are there for another one.
        with contextlib.suppress(UserError):
            spec = cache.summary(run).spec
    name = spec.preset if spec and spec.preset in PRESETS else FIRST_PRESET
    set_up(name, spec.spc if spec else FIRST_SPC, spec.config if spec else preset(name, transformer), transformer)
    st.session_state[_LOADED_KEY] = run


def _take_preset(transformer: bool) -> None:
    seed = st.session_state.get(_key("seed"))
    st.session_state[_KIND_KEY] = transformer
    _fill(preset(st.session_state[PRESET_KEY], transformer))
    # The seed is the reader's, whatever the preset.
    st.session_state[_key("seed")] = seed


def _fill(config: IMSConfig) -> None:
    for setting in SETTINGS:
        value = getattr(config, setting.name)
        st.session_state[_key(setting.name)] = int(value) if setting.whole else float(value)


def _key(name: str) -> str:
    return f"defend/set/{name}"


def _slider(name: str, start: IMSConfig) -> float:
    setting = _BY_NAME[name]
    return st.slider(
        _label(setting, start),
        float(setting.minimum),
        float(setting.maximum),
        step=float(setting.step),
        format="%g",
        key=_key(name),
        help=setting.explanation,
        persist_state="session",
    )


def _number(name: str, start: IMSConfig, title: str | None = None) -> float | None:
    """A field without an upper limit of its own: too much is answered by a sentence, not silently refused."""
    setting = _BY_NAME[name]
    return st.number_input(
        _label(setting, start, title),
        0 if setting.whole else 0.0,
        step=int(setting.step) if setting.whole else float(setting.step),
        format="%d" if setting.whole else "%g",
        key=_key(name),
        help=None if title else setting.explanation,
        persist_state="session",
    )


def _label(setting: Setting, start: IMSConfig, title: str | None = None) -> str:
    """The title and its symbol, and the preset's value where the setting has left it."""
    label = title or setting.title
    if setting.symbol:
        label += f", {setting.symbol}"
    usual, value = getattr(start, setting.name), st.session_state.get(_key(setting.name))
    if setting.name == "seed" or value is None or value == usual:
        return label
    return f"{label} :violet[(preset {usual:g})]"
