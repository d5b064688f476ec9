"""The check of a model of one's own: a run of the default defence, its verdict, and what it found."""

import streamlit as st

from invmask.data.budget import budget_size, most_spc
from invmask.defenses import registry
from invmask.defenses.verdict import regression, reliability
from invmask.errors import UserError
from invmask.runs.store.records import RunSummary, verdict
from invmask.runs.work.bench import spec_of
from invmask.ui.defend import drawings
from invmask.ui.defend.cards import show_table, views_help
from invmask.ui.defend.search import SEARCH_HELP, TITLE, show_search
from invmask.ui.defend.state_line import UNDER_WAY, show_state
from invmask.ui.defend.verdict import show_verdict
from invmask.ui.shell import address, cache, run_trouble, steering
from invmask.victims.unlike import LEARNED_ON, unlike, warning
from invmask.victims.victim import VictimCard
from invmask.victims.without_trigger import missing

SPC = 10
LOOK_SECONDS = 1.0
_PROBLEM = "own-model/check-problem"


def show(card: VictimCard) -> None:
    """Draw the button that begins the check, or the run and what it has found so far."""
    run = address.current_run()
    if run is None:
        _begin(card)
        return
    under_way = cache.summary(run).state in UNDER_WAY
    st.fragment(_draw, run_every=LOOK_SECONDS if under_way else None)(card, run, under_way)


def _begin(card: VictimCard) -> None:
    st.subheader("Is there a backdoor?", anchor=False)
    st.write(
        "The check looks for the smallest trigger that leads the images to each label. If one label needs a much "
        "smaller trigger than the others, that is a sign of a backdoor. Then it learns a mask that cuts the backdoor "
        "out."
    )
    refused = steering.refusal(None)
    with st.container(horizontal=True):
        st.button(
            "Check it",
            key="own-model/check",
            type="primary",
            icon=":material/search:",
            disabled=refused is not None,
            on_click=_check,
            args=(card,),
            help="Begins a run of the default defence in the background; you may leave this page.",
        )
        latest = next((run for run in cache.listing().runs if run.spec.victim == card.name and run.round), None)
        if latest is not None:
            st.button("Open the latest check", icon=":material/history:", on_click=address.set_run, args=(latest.id,))
    if refused is not None:
        st.caption(refused)
    if (problem := st.session_state.pop(_PROBLEM, None)) is not None:
        st.error(problem, icon=":material/error:")


def _check(card: VictimCard) -> None:
    try:
        entry = registry.entry(registry.DEFAULT)
        spec = spec_of(card.name, entry.first_preset, min(SPC, most_spc(card.dataset)), seed=0)
        run = steering.create(spec)
        cache.executor().go_on(run)
        cache.forget_listing()
        address.set_run(run)
    except UserError as error:
        st.session_state[_PROBLEM] = str(error)


def _draw(card: VictimCard, run: str, drawn_under_way: bool) -> None:
    run_trouble.follow(run)
    summary = cache.summary(run)
    if (summary.state in UNDER_WAY) != drawn_under_way:
        # Only the whole page can begin or end the regular look.
        st.rerun()
    frame, classes = drawings.read_frame(run, None), card.dataset_info.classes
    entries = () if frame is None else frame.entries
    show_state(summary, entries, classes)
    if summary.message:
        st.error(summary.message, icon=":material/error:")
    if frame is None:
        return
    told = None if frame.searching else verdict(summary, entries)
    if told is not None:
        show_verdict(told, classes)
        _caution(card, summary)
    found = drawings.search_cards(frame, classes) if frame.capabilities.searches else None
    if summary.result is not None:
        st.markdown("**The views on the images to test on**", help=views_help(list(summary.result.views.present())))
        show_table(summary.result.views, agreement=not card.dataset_info.labelled)
        for sentence in missing(card):
            st.caption(sentence)
        _ways()
    if found is not None:
        st.subheader(TITLE, anchor=False, help=SEARCH_HELP)
        show_search(found, frame.searching)


def _caution(card: VictimCard, summary: RunSummary) -> None:
    """What the verdict was learned on, how often it is wrong, and a warning if this model is unlike that."""
    spc = summary.spec.spc
    model = cache.victim(card.name).model
    caution = warning(unlike(card, model, budget_size(card.dataset, spc), spc))
    if caution is not None:
        st.warning(caution, icon=":material/help:")
    with st.expander("How reliable is this?"):
        st.write(f"{LEARNED_ON} {reliability(regression())}")


def _ways() -> None:
    """Links to the other pages, which show the same run."""
    with st.container(horizontal=True, gap="medium"):
        st.page_link("pages/export.py", label="Take the repaired model away", icon=":material/download:")
        st.page_link("pages/flip.py", label="Flip it", icon=":material/flip:")
        st.page_link("pages/defend.py", label="Watch every round", icon=":material/shield:")
        st.page_link("pages/neurons.py", label="See its channels", icon=":material/hub:")
