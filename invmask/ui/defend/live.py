"""The page Defend below its title, a fragment that is redrawn every second while the run is under way."""

import streamlit as st

from invmask.errors import UserError
from invmask.figures.candidates import Cards, candidate_pictures
from invmask.figures.channels import QUANTITIES
from invmask.figures.inner import SHARES
from invmask.figures.palette import Theme
from invmask.frames.frame import labels_figure
from invmask.frames.run_records import RunRecords
from invmask.frames.samples import synthesized_figure
from invmask.runs.store.records import RunState, RunSummary, verdict
from invmask.ui.defend import channel_map, drawings
from invmask.ui.defend.actions import show_buttons, show_problem, take_moved
from invmask.ui.defend.cards import show_cards, show_result, views_help
from invmask.ui.defend.controls import Draft
from invmask.ui.defend.drawings import Frame, read_frame
from invmask.ui.defend.inner import INNER_HELP, show_shares
from invmask.ui.defend.intro import show_intro
from invmask.ui.defend.search import show_search
from invmask.ui.defend.state_line import UNDER_WAY, show_state
from invmask.ui.defend.timeline import asked_round, show_timeline
from invmask.ui.defend.trigger_gallery import GALLERY_HELP, show_gallery
from invmask.ui.defend.verdict import show_verdict
from invmask.ui.parts.save_figure import save_pictures
from invmask.ui.shell import address, cache, run_trouble
from invmask.ui.shell.theme import chart, current_theme
from invmask.victims.victim import VictimCard

LIVE_SECONDS, FIRST_SECONDS = 1.0, 0.3
"""Between two looks at a run under way: usually, and until its first round, while there is little to draw."""
WATCH_SECONDS = 4.0
MEASURES_HELP = (
    "The views after every round, on the same probe of the test images. The defence never sees these images; "
    "they are measured for you. Vertical lines: a new stage."
)


def show(card: VictimCard, draft: Draft) -> None:
    """Draw the page for the run in the address, or what to do if there is none."""
    run = address.current_run()
    state = _state(run)
    under_way = state in UNDER_WAY
    begins = under_way and run is not None and _rounds(run) == 0
    every = (FIRST_SECONDS if begins else LIVE_SECONDS) if under_way else None
    st.fragment(_draw, run_every=every)(card, draft, run, under_way, begins)
    if run is not None and not under_way:
        st.fragment(_watch, run_every=WATCH_SECONDS)(run, state, _rounds(run))


def _state(run: str | None) -> RunState | None:
    try:
        return cache.summary(run).state if run is not None else None
    except UserError:
        return None


def _rounds(run: str) -> int:
    try:
        return cache.summary(run).round
    except UserError:
        return 0


def _watch(run: str, state: RunState | None, rounds: int) -> None:
    """Watch the run, because another user may continue it; a single step may begin and end between two looks."""
    if _state(run) is not state or _rounds(run) != rounds:
        st.rerun()


def _draw(card: VictimCard, draft: Draft, run: str | None, under_way: bool, begins: bool) -> None:
    if take_moved():
        st.rerun()
    run_trouble.follow(run)
    channel_map.go_to_opened()
    try:
        _parts(card, draft, run, under_way, begins)
    except UserError as error:
        # In a fragment, the page's own message about a damaged run cannot be reached.
        run_trouble.show(error)


def _parts(card: VictimCard, draft: Draft, run: str | None, under_way: bool, begins: bool) -> None:
    summary = cache.summary(run) if run is not None else None
    if summary is not None and (summary.state in UNDER_WAY) != under_way:
        st.rerun()
    if begins and summary is not None and summary.round:
        # From now on there is more to draw, and less often.
        st.rerun()
    frame = _frame(run) if run is not None else None
    show_buttons(draft, summary)
    show_problem()
    _trouble(summary)
    if summary is None or frame is None:
        if summary is None and draft.problem is None:
            cache.executor().prepare(draft.spec())
        if summary is not None:
            show_state(summary, (), card.dataset_info.classes)
        begun, defense = (
            summary is not None and summary.state in UNDER_WAY,
            summary.spec.entry if summary else draft.entry,
        )
        show_intro(begun, draft if summary is None else None, defense)
        return
    show_state(summary, frame.entries, card.dataset_info.classes)
    show_timeline(frame)
    _body(card, frame)


def _frame(run: str) -> Frame | None:
    """The requested round, or the latest round if the run has not reached it."""
    asked = asked_round()
    frame = read_frame(run, asked)
    if frame is None or asked is None or asked <= frame.last:
        return frame
    address.leave_out("round", f"the run has rounds 0 to {frame.last:,}")
    return read_frame(run, None)


def _trouble(summary: RunSummary | None) -> None:
    if summary is not None and summary.message:
        if summary.state is RunState.FAILED:
            st.error(f"{summary.message} Press Run to try again, or Reset to start over.", icon=":material/error:")
        else:
            st.warning(summary.message, icon=":material/info:")
    problem = cache.executor().problem
    if problem and summary is not None and summary.state in UNDER_WAY:
        st.error(f"{problem} The run goes on by itself as soon as that is mended.", icon=":material/error:")


def _body(card: VictimCard, frame: Frame) -> None:
    theme = current_theme()
    found = drawings.search_cards(frame, card.dataset_info.classes) if frame.capabilities.searches else None
    # The views do not change during the search, so the cards come first.
    if found is not None and frame.searching:
        _search(frame, found)
    if not frame.searching and (told := verdict(frame.summary, frame.entries)) is not None:
        show_verdict(told, card.dataset_info.classes)
    st.subheader(f"The views, round {frame.round:,}", anchor=False, help=views_help(frame.repair_views))
    result = frame.summary.result if frame.round == frame.last else None
    show_cards(
        frame.views,
        "" if result is None else "These numbers are from the smaller probe of every round, not the result.",
    )
    if result is not None:
        show_result(result)
    if found is not None and not frame.searching:
        _search(frame, found)

    if frame.capabilities.channels:
        _channels(frame, theme)
    if frame.capabilities.triggers:
        _triggers(card, frame, theme)
    _curves(frame, theme)


def _search(frame: Frame, found: Cards) -> None:
    show_search(found, frame.searching)
    save_pictures("defend-candidates", lambda: candidate_pictures(found, "paper"))


def _channels(frame: Frame, theme: Theme) -> None:
    first = frame.quantities[0]
    st.subheader("All channels by layer", anchor=False, help=_map_help(first == "selection"))
    quantity = st.segmented_control(
        "Colour",
        list(frame.quantities),
        default=first,
        format_func=lambda name: QUANTITIES[name],
        key=f"defend/map/{first}",
        required=True,
        label_visibility="collapsed",
        persist_state="session",
    )
    chart(
        drawings.map_figure(frame, quantity, theme),
        key=channel_map.CHART,
        alt=f"Every channel of the network by layer, coloured by {QUANTITIES[quantity]}",
        paper=lambda: drawings.map_figure(frame, quantity, "paper"),
    )


def _map_help(selects: bool) -> str:
    selection = "**Selection**: how much the defence has picked the channel out. " if selects else ""
    return (
        f"Each cell is a channel; a layer takes one row or more. {selection}**Pruned gate** and **inverse gate**: what "
        "the view multiplies the channel by; 1 lets it pass, 0 cuts it. Point at a cell for its numbers; click it for "
        "the channel's page on Neurons. The bars count each layer's channels that are "
        f"{'selected, ' * selects}cut in the pruned view, or cut in the inverse view, each at one half."
    )


def _triggers(card: VictimCard, frame: Frame, theme: Theme) -> None:
    classes = card.dataset_info.classes
    st.subheader("Synthesized triggers", anchor=False, help=GALLERY_HELP)
    show_gallery(drawings.gallery(frame, card.dataset), classes)
    save_pictures("defend-synthesized", lambda: synthesized_figure(RunRecords(frame), "paper"))

    st.subheader("How well the perturbations work", anchor=False, help=INNER_HELP)
    show_shares(frame.synthesis)
    bars, curves = st.columns([2, 3], gap="small")
    with bars:
        chart(
            labels_figure(frame, classes, card.target_label, theme),
            key="defend-labels",
            alt="How many images the perturbation flips to each label",
            paper=lambda: labels_figure(frame, classes, card.target_label, "paper"),
        )
    with curves:
        names = ", ".join(label for _, label in SHARES.values())
        chart(
            drawings.inner_figure(frame, theme),
            key="defend-inner",
            alt=f"Over the rounds: {names}",
            paper=lambda: drawings.inner_figure(frame, "paper"),
        )


def _curves(frame: Frame, theme: Theme) -> None:
    st.subheader("ACC, ASR and RA over the rounds", anchor=False, help=MEASURES_HELP)
    chart(
        drawings.measures_figure(frame, theme),
        key="defend-measures",
        alt="ACC, ASR and RA of the views",
        paper=lambda: drawings.measures_figure(frame, "paper"),
    )
    st.subheader("The terms of the loss", anchor=False, help=_terms_help(frame))
    chart(
        drawings.losses_figure(frame, theme),
        key="defend-losses",
        alt="Every loss term over the rounds",
        paper=lambda: drawings.losses_figure(frame, "paper"),
    )
    if frame.capabilities.channels:
        layout = frame.run.layout()
        assert layout is not None
        channel_map.listen(layout.layers)


def _terms_help(frame: Frame) -> str:
    terms = frame.defense.terms.values()
    return "What each round makes smaller.\n\n" + "\n\n".join(f"**{of.title}**: {of.explanation}" for of in terms)
