"""The sidebar of every page: the victim, one of its runs, and a link to exactly this page."""

import contextlib
from collections.abc import Mapping
from urllib.parse import urlencode

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from invmask import glossary
from invmask.attacks.training.poison_set import ALL_TO_ALL, CLEAN_LABEL
from invmask.errors import UserError
from invmask.runs.store import pruning
from invmask.runs.store.records import RunSummary
from invmask.settings import ASSETS
from invmask.ui.class_link import form
from invmask.ui.defend.state_line import UNDER_WAY
from invmask.ui.shell import address, cache, crowd, run_menu, run_trouble
from invmask.ui.shell.hidden import RUN, VICTIM
from invmask.ui.shell.names import (
    architecture_title,
    attack_title,
    count,
    dataset_title,
    plain,
    target_title,
    victim_label,
)
from invmask.ui.shell.run_menu import run_facts, run_title
from invmask.victims.victim import VictimCard
from invmask.victims.without_trigger import shortly

LOOK_SECONDS = 2.0
_VICTIM_KEY, _RUN_KEY = "sidebar/victim", "sidebar/run"
_NONE = ""


def show() -> DeltaGenerator:
    """Draw the sidebar; returns the container at the top of the page for messages about the address."""
    st.logo(ASSETS / "wordmark.svg", size="large", icon_image=ASSETS / "logo.svg")
    cards = cache.victim_cards()
    with st.sidebar:
        name = address.current_victim()
        if name is not None:
            _victim(cards, name)
            runs = _run(name)
            with st.container(gap="xsmall"):
                if not address.hides().control(RUN):
                    run_menu.show(runs, address.current_run())
                _share()
                form.button()
    told = st.empty()
    tell(told)
    if (damaged := address.damaged_run()) is not None:
        run_menu.delete_button(damaged, "Delete the damaged run")
    return told


def tell(told: DeltaGenerator) -> None:
    """Show what was wrong in the address; called again after the page is drawn, when all of it has been read."""
    if (sentence := address.complaint()) is not None:
        told.warning(sentence, icon=":material/link_off:")


def _victim(cards: dict[str, VictimCard], name: str) -> None:
    def label(key: str) -> str:
        return victim_label(cards[key], list(cards.values()))

    if address.hides().control(VICTIM):
        st.markdown(f"**Victim**: {plain(label(name))}")
    else:
        st.session_state[_VICTIM_KEY] = name
        st.selectbox(
            "Victim",
            list(cards),
            key=_VICTIM_KEY,
            format_func=label,
            on_change=lambda: address.set_victim(st.session_state[_VICTIM_KEY]),
            help=glossary.text("victim"),
        )
    card = cards[name]
    target = target_title(card)
    on = "checked on images of your own" if card.is_unknown else f"trained on {dataset_title(card.dataset)}"
    facts = [architecture_title(card.architecture), on]
    if target is None or card.poisoning_ratio is None:
        facts.append(shortly(card))
    else:
        aim = "all-to-all" if card.labels == ALL_TO_ALL else f"target label {target}"
        clean = ", clean labels" if card.labels == CLEAN_LABEL else ""
        facts.append(f"{attack_title(card)} at {100 * card.poisoning_ratio:.3g} %, {aim}{clean}")
    if not card.dataset_info.labelled:
        facts.append("true classes not known, so where ACC is written, it is agreement with the original")
    st.caption(" · ".join(facts))


def _run(victim: str) -> list[RunSummary]:
    """Draw the chooser of runs; returns the victim's runs, newest first, or none if the chooser is hidden."""
    runs = {run.id: run for run in cache.listing().runs if run.spec.victim == victim}
    current = address.current_run()
    if current is not None:
        # The page reports a damaged run.
        with contextlib.suppress(UserError):
            runs = {**runs, current: cache.summary(current)}
    if address.hides().control(RUN):
        if current is not None:
            st.markdown("**Run**")
            _follow(current, runs)
        return []
    known = [*runs] if current is None or current in runs else [*runs, current]
    newest_first = sorted(known, reverse=True)
    shown, options = current or _NONE, [_NONE, *newest_first]
    # The key depends on the run shown: a browser that has not yet seen the run change reports the old run once more,
    # which must not count as a choice.
    key = f"{_RUN_KEY}/{shown}"
    st.session_state[key] = shown

    def changed() -> None:
        if (chosen := st.session_state[key]) != shown and chosen in options:
            address.set_run(chosen or None)

    st.selectbox(
        "Run",
        options,
        key=key,
        format_func=lambda run: _title(run, runs),
        on_change=changed,
        help=f"{glossary.text('run')} Newest first.",
    )
    if current is not None:
        _follow(current, runs)
    elif not newest_first:
        st.caption("No run of this victim yet. The page Defend starts one.")
    return [runs[run] for run in newest_first if run in runs]


def _follow(run: str, runs: Mapping[str, RunSummary]) -> None:
    under_way = run in runs and runs[run].state in UNDER_WAY
    st.fragment(_how_far, run_every=crowd.slowed(LOOK_SECONDS) if under_way else None)(run)


def _title(run: str, runs: dict[str, RunSummary]) -> str:
    if run == _NONE:
        return "None, set up a new one"
    return run_title(runs[run]) if run in runs else f"Damaged · {run.rpartition('-')[2]}"


def _how_far(run: str) -> None:
    """Show name, rounds, state and result of the run; for a damaged run only its id."""
    run_trouble.follow(run)
    lines = ["Damaged"]
    with contextlib.suppress(UserError):
        found = cache.summary(run)
        rounds = f"{count(found.round)} {'round' if found.round == 1 else 'rounds'} taken"
        lines = [*([plain(found.name)] if found.name else []), run_facts(found), rounds]
    st.caption("  \n".join([*lines, run]))
    if (when := pruning.announced(cache.store()).get(run)) is not None:
        st.warning(
            f"This run will be deleted on {run_menu.time_words(when)}, because it is old and this server does not keep "
            "all runs. Go on with it or give it a name to keep it longer, or take it away on Export.",
            icon=":material/auto_delete:",
        )


def _share() -> None:
    with st.popover(
        "Link to this",
        icon=":material/link:",
        width="stretch",
        key="sidebar/link",
        # Parts of a page change the address without redrawing the sidebar, so the link is made when this is opened.
        on_change="rerun",
        help="The same screen for somebody else.",
    ):
        st.write(f"Whoever opens this link on the same server sees what you see: {_held()}")
        query = urlencode(st.query_params.to_dict())
        st.code((st.context.url or "").split("?")[0] + (f"?{query}" if query else ""), language=None, wrap_lines=True)


def _held() -> str:
    """What the link holds, as the end of a sentence."""
    if address.sets_up_run():
        return "page, victim and settings. Run begins a run with them."
    return "page, victim, run and choices." if address.current_run() is not None else "page, victim and choices."
