"""What the reader compares, kept in the page's address: victims, defences, budgets and seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import streamlit as st

from invmask.defenses import registry
from invmask.errors import UserError
from invmask.grids.comparison import MEASURES, method_title, specs_of
from invmask.runs.store.spec import RunSpec
from invmask.ui.shell import address, cache
from invmask.ui.shell.names import victim_label
from invmask.ui.shell.seeds import parse_seeds
from invmask.victims.victim import VictimCard

BUDGETS = (1, 2, 5, 10, 20, 50, 100)
VICTIMS, METHODS, SPCS, SEEDS, MEASURE = "victims", "defences", "spcs", "seeds", "measure"
_SEPARATOR = "~"
"""Between names in the address; no name of a victim or defence holds it."""


@dataclass(frozen=True)
class CompareChoice:
    """What is compared.

    Attributes:
        victims: their cards by name, in the order of the menu.
        methods: defences and presets, as in `registry.parse`.
        spcs: clean images per class.
        seeds: of the budget and the batches.
    """

    victims: Mapping[str, VictimCard]
    methods: tuple[str, ...]
    spcs: tuple[int, ...]
    seeds: tuple[int, ...]

    def specs(self) -> list[RunSpec]:
        """The runs, as this machine would make them."""
        return specs_of(self.victims.values(), self.methods, self.spcs, self.seeds)


def short_labels(victims: Mapping[str, VictimCard]) -> dict[str, str]:
    """A title for each victim, without what all of them share: `BadNets` where all are PreActResNet-18."""
    among = list(victims.values())
    parts = {name: victim_label(card, among).split(" · ") for name, card in victims.items()}
    shared = set.intersection(*map(set, parts.values())) if len(parts) > 1 else set()
    short = {name: " · ".join(part for part in of if part not in shared) for name, of in parts.items()}
    return short if len(set(short.values())) == len(short) else {name: " · ".join(of) for name, of in parts.items()}


def all_methods() -> dict[str, tuple[str, str]]:
    """Every defence and preset by the name in the address, each defence's first preset before all others."""
    entries = registry.entries().values()
    first = {entry.name: (entry.name, entry.first_preset) for entry in entries}
    further = {
        f"{entry.name}:{preset}": (entry.name, preset)
        for entry in entries
        for preset in entry.presets
        if preset != entry.first_preset
    }
    return first | further


def draw(card: VictimCard) -> CompareChoice | None:
    """Draw the controls; returns what is chosen, None (after a sentence) if there is nothing to compare."""
    cards, known = cache.victim_cards(), all_methods()
    victims = _names(VICTIMS, [card.name], list(cards))
    methods = _names(METHODS, list(registry.entries()), list(known))
    budgets = _names(SPCS, [str(cache.FIRST_SPC)], [str(spc) for spc in BUDGETS])
    among = list(cards.values())
    with st.container(key="compare-controls"):
        chosen = st.multiselect(
            "Victims",
            list(cards),
            key=_set("compare-victims", victims),
            format_func=lambda name: victim_label(cards[name], among),
            on_change=lambda: _keep(VICTIMS, st.session_state["compare-victims"], [card.name]),
            help="The networks that all defences have to repair.",
        )
        chosen_methods = st.multiselect(
            "Defences",
            list(known),
            key=_set("compare-methods", methods),
            format_func=lambda name: method_title(known[name]),
            on_change=lambda: _keep(METHODS, st.session_state["compare-methods"], list(registry.entries())),
            help="Each with its own settings, whatever the victim. All get the same clean images and nothing else.",
        )
        with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
            spcs = st.pills(
                "SPC, clean images a class",
                [str(spc) for spc in BUDGETS],
                key=_set("compare-spcs", budgets),
                selection_mode="multi",
                width="content",
                on_change=lambda: _keep(SPCS, st.session_state["compare-spcs"], [str(cache.FIRST_SPC)]),
                help="With two or more, a curve over SPC is drawn.",
            )
            seeds = _seeds()
    if not chosen or not chosen_methods or not spcs or not seeds:
        st.info("Choose at least one victim, one defence, one SPC and one seed.")
        return None
    return CompareChoice(
        {name: cards[name] for name in cards if name in chosen},
        tuple(name for name in known if name in chosen_methods),
        tuple(sorted(map(int, spcs))),
        seeds,
    )


def measure() -> str:
    """The measure that the reader ranks by, which the address keeps."""
    return address.choice(MEASURE, "asr", list(MEASURES))


def _seeds() -> tuple[int, ...]:
    st.session_state["compare-seeds"] = address.choice(SEEDS, "0")
    text = st.text_input(
        "Seeds",
        key="compare-seeds",
        width=160,
        on_change=lambda: address.choose(SEEDS, st.session_state["compare-seeds"] or None),
        help="Such as 0-2, 7. A seed draws the clean images and the batches. Two or more give a spread.",
    )
    try:
        return parse_seeds(text)
    except UserError as error:
        st.error(str(error))
        return ()


def _set(key: str, value: list[str]) -> str:
    st.session_state[key] = value
    return key


def _names(name: str, default: list[str], allowed: Sequence[str]) -> list[str]:
    """Names in the address; those that are not known are left out with a message."""
    text = address.choice(name, "")
    if not text:
        return [] if name in address.held([name]) else default
    asked = text.split(_SEPARATOR)
    kept = [each for each in dict.fromkeys(asked) if each in allowed]
    for each in asked:
        if each not in allowed:
            address.leave_out(name, "not there", part=each, kept=_SEPARATOR.join(kept) or None)
    return kept or default


def _keep(name: str, chosen: Sequence[str], default: Sequence[str]) -> None:
    address.choose(name, None if list(chosen) == list(default) else _SEPARATOR.join(chosen))
