"""The sidebar that every page shares: which victim, which of its runs, and a link to exactly this."""

from urllib.parse import urlencode

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from invmask.attacks.poison import ALL_TO_ALL, CLEAN_LABEL
from invmask.attacks.victims import VictimCard
from invmask.errors import UserError
from invmask.runs.entries import RunState, RunSummary
from invmask.settings import ASSETS
from invmask.ui import address, cache
from invmask.ui.defend_state import UNDER_WAY
from invmask.ui.names import architecture_title, attack_title, count, dataset_title, target_title, victim_label

LOOK_SECONDS = 2.0
_VICTIM_KEY, _RUN_KEY = "sidebar/victim", "sidebar/run"
_NONE = ""

STATE_WORDS: dict[RunState, str] = {
    RunState.NEW: "not begun",
    RunState.WAITING: "waiting",
    RunState.RUNNING: "running",
    RunState.PAUSED: "paused",
    RunState.STOPPED: "stopped",
    RunState.FINISHED: "finished",
    RunState.FAILED: "failed",
}


def show() -> DeltaGenerator:
    """Draw it; returns the place on top of the page for what was wrong in the address."""
    st.logo(ASSETS / "wordmark.svg", size="large", icon_image=ASSETS / "logo.svg")
    cards = cache.victim_cards()
    with st.sidebar:
        name = address.current_victim()
        if name is not None:
            _victim(cards, name)
            _run(name)
            _share()
    told = st.empty()
    tell(told)
    return told


def tell(told: DeltaGenerator) -> None:
    """Say what was wrong in the address; once more when the page is drawn, for then all of it has been read."""
    if (sentence := address.complaint()) is not None:
        told.warning(sentence, icon=":material/link_off:")


def run_title(run: RunSummary) -> str:
    """`default, SPC 10, seed 0 · 7e2a`: short enough for the sidebar's width.

    The end of the id tells apart what has the same settings: the browser knows options by their titles alone. For
    the same reason nothing that changes while the run goes on may be in it.
    """
    return f"{run.spec.preset}, SPC {run.spec.spc}, seed {run.spec.seed} · {run.id.rpartition('-')[2]}"


def _victim(cards: dict[str, VictimCard], name: str) -> None:
    st.session_state[_VICTIM_KEY] = name
    st.selectbox(
        "Victim",
        list(cards),
        key=_VICTIM_KEY,
        format_func=lambda key: victim_label(cards[key], list(cards.values())),
        on_change=lambda: address.set_victim(st.session_state[_VICTIM_KEY]),
        help="The model under test. All pages look at the same one.",
    )
    card = cards[name]
    target = target_title(card)
    facts = [architecture_title(card.architecture), f"trained on {dataset_title(card.dataset)}"]
    if target is None:
        facts.append("no backdoor")
    else:
        aim = "all-to-all" if card.labels == ALL_TO_ALL else f"target label {target}"
        clean = ", clean labels" if card.labels == CLEAN_LABEL else ""
        facts.append(f"{attack_title(card)} at {100 * card.poisoning_ratio:.3g} %, {aim}{clean}")
    st.caption(" · ".join(facts))


def _run(victim: str) -> None:
    runs = {run.id: run for run in cache.listing().runs if run.spec.victim == victim}
    current = address.current_run()
    if current is not None:
        try:
            runs = {**runs, current: cache.summary(current)}
        except UserError as error:
            st.error(str(error))
    newest_first = sorted(runs, reverse=True)
    shown, options = current or _NONE, [_NONE, *newest_first]
    # The key is of what it shows: a browser that has not yet seen the run change says the old one once more, and
    # that must not be taken for a choice.
    key = f"{_RUN_KEY}/{shown}"
    st.session_state[key] = shown

    def changed() -> None:
        if (chosen := st.session_state[key]) != shown and chosen in options:
            address.set_run(chosen or None)

    st.selectbox(
        "Run",
        options,
        key=key,
        format_func=lambda run: run_title(runs[run]) if run in runs else "None, set up a new one",
        on_change=changed,
        help="One defence of this victim, from its settings to its last round. "
        "Newest first; everyone who opens this dashboard sees the same runs.",
    )
    if current is not None:
        under_way = current in runs and runs[current].state in UNDER_WAY
        st.fragment(_how_far, run_every=LOOK_SECONDS if under_way else None)(current)
    elif newest_first:
        st.caption(f"{len(newest_first)} {'run' if len(newest_first) == 1 else 'runs'} of this victim to look at.")
    else:
        st.caption("No run of this victim yet. The page Defend starts one.")


def _how_far(run: str) -> None:
    """Rounds and state of the run; of a damaged one its id alone."""
    try:
        found = cache.summary(run)
        state = f"{count(found.round)} {'round' if found.round == 1 else 'rounds'} taken, {STATE_WORDS[found.state]}"
    except UserError:
        state = "Damaged"
    st.caption(f"{state}  \n{run}")


def _share() -> None:
    with st.popover(
        "Link to this",
        icon=":material/link:",
        width="stretch",
        key="sidebar/link",
        # Parts of a page change the address without the sidebar: whoever opens this sees it as it is now.
        on_change="rerun",
        help="The same screen for somebody else.",
    ):
        st.write("Whoever opens this link on the same server sees what you see: page, victim, run and choices.")
        query = urlencode(st.query_params.to_dict())
        st.code((st.context.url or "").split("?")[0] + (f"?{query}" if query else ""), language=None, wrap_lines=True)
