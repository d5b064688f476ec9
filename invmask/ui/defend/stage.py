"""The stage: what one watches while rounds go by, together on one screen of 1280 by 720 pixels.

From top to bottom the verdict's line, a card for each view, and side by side the map of all channels and the
synthesized triggers. All keep their places and heights from the first round to the last.
"""

import html
from collections.abc import Sequence

import streamlit as st

from invmask.defenses.verdict import verdict_words
from invmask.figures.candidates import Cards, candidate_pictures
from invmask.figures.channels import QUANTITIES
from invmask.figures.palette import Theme
from invmask.frames.run_records import RunRecords
from invmask.frames.samples import synthesized_figure
from invmask.runs.store.records import Views, verdict
from invmask.ui.defend import channel_map, drawings
from invmask.ui.defend.cards import card_row, sizes_words, views_help
from invmask.ui.defend.drawings import Frame
from invmask.ui.defend.playback import Beat, Slow
from invmask.ui.defend.search import SEARCH_HELP, TITLE, show_search
from invmask.ui.defend.trigger_gallery import GALLERY_HELP, gallery_words, show_gallery
from invmask.ui.parts.kept_chart import kept_chart
from invmask.ui.parts.save_figure import save_menu, save_pictures
from invmask.victims.victim import VictimCard

_SHORT = {"selection": "Selection", "pruned": "Pruned", "inverse": "Inverse"}
MAP_HEIGHT = "clamp(270px, 100vh - var(--above-map), 640px)"
"""What is left of the screen below the cards, within limits."""


def show_stage(
    card: VictimCard, frame: Frame, found: Cards | None, theme: Theme, slow: Slow | None, before: Frame
) -> None:
    """Draw the stage at the frame's round.

    Args:
        found: the search's candidates; None without a search, and before its first round.
        slow: the beat of slow motion; None if it is not on.
        before: in slow motion the frame of the round before, whose numbers and gates are shown until they change.
    """
    beat = Beat.ANSWER if slow is None else slow.beat
    words = None if slow is None else slow.words(frame.synthesis is not None)
    of_views, of_gates = frame if beat is Beat.ANSWER else before, before if beat is Beat.PERTURB else frame
    st.html(_STYLE)
    with st.container(key="defend-stage", gap="xsmall"):
        _views(frame, of_views.views, card.dataset_info.classes, words)
        triggers = frame.capabilities.triggers or searches(frame)
        if frame.capabilities.channels and triggers:
            left, right = st.columns([6, 5], gap="small")
            with left, st.container(gap="xxsmall"):
                _channels(of_gates, theme)
            with right, st.container(gap="xxsmall"):
                _triggers(card, frame, found, beat is Beat.ANSWER)
        elif frame.capabilities.channels:
            _channels(of_gates, theme)
        elif triggers:
            _triggers(card, frame, found, beat is Beat.ANSWER)


def searches(frame: Frame) -> bool:
    """Whether the run has a search, and so a verdict."""
    return frame.capabilities.searches and frame.summary.spec.config.rounds(frame.defense.stages[0].name) > 0


def _views(frame: Frame, views: Views, classes: Sequence[str], slow: str | None) -> None:
    with st.container(key="defend-views-head", horizontal=True, vertical_alignment="center", gap="small"):
        st.subheader(
            f"The views, round {frame.round:,}", anchor=False, help=views_help(frame.repair_views), width="content"
        )
        if slow is not None:
            st.html(f'<div class="dv-verdict dv-told" role="status">{html.escape(slow)}</div>')
        else:
            st.html(_verdict_line(frame, classes) if searches(frame) else "<i hidden></i>")
        st.html(f'<div class="dv-n">{sizes_words(frame.views.original)}</div>', width="content")
    card_row(views)


def _verdict_line(frame: Frame, classes: Sequence[str]) -> str:
    told = None if frame.searching else verdict(frame.summary, frame.entries)
    words = "The verdict comes when the search has ended." if told is None else verdict_words(told, classes)
    kind, words = "" if told is None else " dv-told", html.escape(words)
    return f'<div class="dv-verdict{kind}" role="status" title="{words}">{words}</div>'


def _channels(frame: Frame, theme: Theme) -> None:
    first = frame.quantities[0]
    with st.container(key="defend-map-head", horizontal=True, vertical_alignment="center", gap="small"):
        st.subheader("All channels", anchor=False, help=_map_help(first == "selection"), width="content")
        quantity = st.segmented_control(
            "Colour",
            list(frame.quantities),
            default=first,
            format_func=lambda name: _SHORT[name],
            key=f"defend/map/{first}",
            required=True,
            label_visibility="collapsed",
            persist_state="session",
        )
    figure = drawings.stage_figure(frame, quantity, theme)
    kept_chart(
        figure,
        key=channel_map.CHART,
        alt=f"Every channel of the network by layer, coloured by {QUANTITIES[quantity]}",
        height="var(--map)",
    )
    save_menu(figure, channel_map.CHART, lambda: drawings.map_figure(frame, quantity, "paper"))


def _map_help(selects: bool) -> str:
    selection = "**Selection**, 1 − s: how much the defence has picked the channel out. " if selects else ""
    return (
        f"Each cell is a channel; a layer takes one row or more. {selection}**Pruned**, m, and **inverse**, m\u0304: "
        "what the view multiplies the channel by; 1 lets it pass, 0 cuts it. Point at a cell for its numbers; click it "
        "for the channel's page on Neurons. The words above count the channels that are "
        f"{'selected, ' * selects}cut in the pruned view, or cut in the inverse view, each at one half. Keys: 1, 2, 3."
    )


def _triggers(card: VictimCard, frame: Frame, found: Cards | None, answered: bool) -> None:
    """The search's triggers, one for each label, while it goes on; afterwards the perturbations of the round.

    Args:
        answered: whether the views' answers are shown; slow motion shows them last.
    """
    search = frame.searching or not frame.capabilities.triggers
    with st.container(key="defend-triggers-head", horizontal=True, vertical_alignment="center", gap="small"):
        if search:
            st.subheader(TITLE, anchor=False, help=SEARCH_HELP)
        else:
            st.subheader("Synthesized triggers", anchor=False, help=GALLERY_HELP)
    with st.container(key="defend-triggers", gap="xxsmall"):
        if not search:
            gallery = drawings.gallery(frame, card.dataset)
            st.html(f'<div class="dv-reading" tabindex="0">{html.escape(gallery_words(gallery))}</div>')
            show_gallery(gallery, card.dataset_info.classes, answered)
        elif found is not None:
            show_search(found, frame.searching)
        else:
            st.html('<div class="dv-reading" tabindex="0">The search begins with the first round.</div>')
    if not search:
        save_pictures("defend-synthesized", lambda: synthesized_figure(RunRecords(frame), "paper"))
    elif found is not None:
        save_pictures("defend-candidates", lambda: candidate_pictures(found, "paper"))


_STYLE = f"""<style>
.st-key-defend-page{{margin-top:-.85rem}}
.st-key-defend-page h1{{font-size:1.7rem;padding:0}}
:is(.st-key-defend-chevron_left,.st-key-defend-chevron_right) button [data-testid=stMarkdownContainer]{{
 position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}}
.st-key-defend-buttons button{{min-height:2.2rem;padding-block:.1rem}}
.st-key-defend-stage{{--above-map:26rem;--map:{MAP_HEIGHT}}}
.st-key-defend-stage h3{{font-size:1rem;padding:0;line-height:1.5}}
.st-key-defend-views-head{{flex-wrap:nowrap}}
.st-key-defend-map-head,.st-key-defend-triggers-head{{min-height:2.1rem}}
.st-key-defend-map-head [role=radio]{{min-height:1.9rem;padding:0 .5rem}}
.st-key-defend-stage .st-key-defend-triggers{{height:var(--map);flex:none;overflow-y:auto;scrollbar-width:thin}}
.st-key-defend-triggers .ds-cards{{grid-template-columns:repeat(auto-fill,minmax(9.2rem,1fr));gap:.8rem .5rem}}
.st-key-defend-triggers .ds-words{{font-size:.92rem;margin-bottom:.8rem;min-height:3.9em}}
.st-key-defend-triggers .ds-card{{padding:.3rem .4rem .4rem}}
.st-key-defend-triggers .ds-said span{{min-height:2.5em}}
.dv-reading{{font-size:.85rem;line-height:1.3;min-height:2.6em;opacity:.85;font-variant-numeric:tabular-nums}}
.dv-verdict{{line-height:1.5;white-space:nowrap;overflow:hidden;text-overflow:ellipsis;opacity:.8}}
.dv-told{{font-weight:650;opacity:1}}
@media (max-width:1100px){{.st-key-defend-stage{{--above-map:28.3rem}}
 .st-key-defend-views-head .dv-n{{display:none}}}}
@media (max-width:640px){{.st-key-defend-views-head{{flex-wrap:wrap}}.dv-verdict{{white-space:normal;min-height:3em}}
 .st-key-defend-stage{{--map:26rem}}}}
</style>"""
