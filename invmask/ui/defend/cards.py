"""Cards, one per view: ACC, ASR and RA in large type, the change from the original in small type."""

import html
from collections.abc import Sequence

import streamlit as st

from invmask.figures.measures import MEASURE_TITLES
from invmask.figures.palette import VIEW_EXPLANATIONS, VIEW_TITLES
from invmask.masks.state import View
from invmask.measure.metrics import Measures
from invmask.runs.store.records import RunResult, Views
from invmask.ui.parts.samples import percent
from invmask.ui.shell.names import MEASURE_HELP, count
from invmask.ui.shell.theme import view_hex, view_word_hex
from invmask.victims.victim import VictimCard
from invmask.victims.without_trigger import missing

_SMALL = "Small numbers: the change since the original, in percentage points."


def views_help(views: Sequence[View]) -> str:
    """Help text for the cards of these views."""
    good = f"A good defence keeps the {views[1]} view's ACC high while its ASR falls and its RA rises"
    if View.INVERSE not in views:
        return f"The network as it came, and with the weights that the defence has changed. {good}. {_SMALL}"
    return (
        f"One network, seen in three ways. {good}; a good inverse does the opposite: its ACC falls and its ASR stays "
        f"high, for the backdoor is what it keeps. {_SMALL}"
    )


RESULT_HELP = (
    "The views at the end, measured once. The cards above show a smaller probe of the same images, which is measured "
    "after every round, so their numbers differ a little."
)


def show_cards(card: VictimCard, views: Views) -> None:
    """Draw the views side by side, with measures on the run's probe of the test images, and say which images."""
    card_row(views)
    st.caption(probe_words(card, views.original))


def card_row(views: Views) -> None:
    """Draw the views side by side."""
    shown = views.present()
    cards = "".join(_card(view, measures, views.original) for view, measures in shown.items())
    st.html(f'{_STYLE}<div class="dv-cards" style="--views:{len(shown)}">{cards}</div>')


def sizes_words(original: Measures) -> str:
    """The numbers of images behind the measures, in a few words: `n = 200 clean, 180 triggered`."""
    sizes = f"n = {count(original.n_clean)} clean"
    return f"{sizes}, {count(original.n_triggered)} triggered" if original.n_triggered else sizes


def probe_words(card: VictimCard, original: Measures) -> str:
    """The images behind the cards' numbers, in words."""
    clean = f"ACC over {count(original.n_clean)} probe images of the test set"
    if original.asr is None:
        return " ".join([f"{clean}.", *missing(card)])
    if original.n_triggered == original.n_clean:
        return f"{clean}; ASR and RA (recovery accuracy) over the same with the trigger on: every class has its target."
    return (
        f"{clean}; ASR and RA (recovery accuracy) over the {count(original.n_triggered)} of them that are not of the "
        "target class, with the trigger on."
    )


def show_result(result: RunResult) -> None:
    """Draw the views at the end of the run, with measures on all embedded test images."""
    st.subheader("The result, on all embedded test images", anchor=False, help=RESULT_HELP)
    show_table(result.views)


def show_table(views: Views, agreement: bool = False) -> None:
    """Draw the views as a small table, with n below, for places without room for three cards.

    Args:
        agreement: whether the images' labels are the original's answers, so that ACC is agreement with it.
    """
    rows = "".join(
        f'<tr><th style="color:{view_word_hex(view)}">{VIEW_TITLES[view]}</th>'
        + "".join(f"<td>{percent(getattr(measures, name))}</td>" for name in _measures(views.original))
        + "</tr>"
        for view, measures in views.present().items()
    )
    heads = "".join(
        f'<th title="{html.escape(MEASURE_HELP[name])}">{"Agreement" if agreement else name.upper()}</th>'
        for name in _measures(views.original)
    )
    sizes = sizes_words(views.original)
    st.html(f'{_STYLE}<table class="dv-result"><tr><th></th>{heads}</tr>{rows}</table><div class="dv-n">{sizes}</div>')


def _measures(original: Measures) -> list[str]:
    return [name for name in MEASURE_TITLES if getattr(original, name) is not None]


def _card(view: str, measures: Measures, original: Measures) -> str:
    cells = "".join(_cell(view, name, measures, original) for name in _measures(original))
    return (
        f'<section class="dv-card" style="--view:{view_hex(view)};--word:{view_word_hex(view)}" '
        f'aria-label="{VIEW_TITLES[view]} view">'
        f'<h4 title="{html.escape(VIEW_EXPLANATIONS[view])}">{VIEW_TITLES[view]}</h4>'
        f'<div class="dv-cells">{cells}</div></section>'
    )


def _cell(view: str, name: str, measures: Measures, original: Measures) -> str:
    value, before = getattr(measures, name), getattr(original, name)
    change = "&nbsp;" if view == "original" else f"{100 * (value - before):+.1f}".replace("-", "\N{MINUS SIGN}")
    hint = html.escape(f"{MEASURE_TITLES[name]}: {MEASURE_HELP[name]}")
    number, _, unit = percent(value).partition(" ")
    return (
        f'<div class="dv-cell" title="{hint}"><span class="dv-name">{name.upper()}</span>'
        f'<span class="dv-change">{change}</span><span class="dv-value">{number}<small> {unit}</small></span></div>'
    )


_STYLE = """<style>
.dv-cards{display:grid;grid-template-columns:repeat(var(--views),minmax(0,1fr));gap:.6rem}
.dv-card{container-type:inline-size;border:1px solid color-mix(in srgb,currentColor 18%,transparent);
 border-top:4px solid var(--view);border-radius:.4rem;padding:.2rem .7rem .3rem;font-variant-numeric:tabular-nums}
.dv-card h4{margin:0;padding:0;font-size:1rem;font-weight:650;line-height:1.4;color:var(--word)}
.dv-cells{display:grid;grid-auto-flow:column;grid-auto-columns:minmax(0,1fr);column-gap:.9rem}
.dv-cell{display:grid;grid-template-columns:1fr auto;align-items:baseline;cursor:help;white-space:nowrap;
 line-height:1.2}
.dv-name,.dv-change{font-size:.85rem;opacity:.8}
.dv-value{grid-column:1/3;font-size:1.65rem;font-weight:650;letter-spacing:-.01em}
.dv-value small{font-size:.58em;font-weight:600}
@container (max-width:225px){
 .dv-cells{grid-auto-flow:row}
 .dv-cell{grid-template-columns:2.5rem 1fr 3.1rem}
 .dv-value{grid-area:1/2;text-align:right;font-size:1.45rem}
 .dv-change{grid-area:1/3;text-align:right}}
.dv-result{border-collapse:collapse;font-variant-numeric:tabular-nums}
.dv-result th,.dv-result td{border:0;padding:.1rem 1.6rem .1rem 0;text-align:right;font-weight:600;
 white-space:nowrap}
.dv-result tr th:first-child{text-align:left}
.dv-n{font-size:.85rem;opacity:.8;margin-top:.2rem}
@media (max-width:1100px){.dv-result th,.dv-result td{padding-right:.8rem}}
@media (max-width:640px){.dv-cards{grid-template-columns:1fr}}
</style>"""
