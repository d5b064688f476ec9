"""The line of Neurons that stays visible: ACC, ASR and RA with the present cuts, beside the original's."""

import html
from collections.abc import Sequence

import streamlit as st

from invmask.figures.measures import MEASURE_TITLES
from invmask.figures.palette import GROUND
from invmask.frames.channels import RANKED_BY
from invmask.measure.metrics import Measures
from invmask.ui.neurons.channel_data import Base, WhatIf
from invmask.ui.neurons.neurons_choice import LEARNED, NOTHING, TOP, Decided, NeuronsChoice
from invmask.ui.parts.samples import percent
from invmask.ui.shell.names import MEASURE_HELP, count
from invmask.ui.shell.theme import current_theme, view_hex

_KEY = "neurons-numbers"


def base_words(base: Base, by: str, round_taken: int, names: Sequence[str] = ()) -> str:
    """The start of cuts by hand in words: `the top 10 by score`.

    Args:
        by: the ranking.
        names: names of the run's masks; other masks are also called by their names.
    """
    if base.name == TOP:
        many = len(base.top)
        return f"the top {many} by {RANKED_BY[by]}" if many else "the original: nothing cut"
    titles = {LEARNED: f"the learned mask, round {round_taken:,}", NOTHING: "the original: nothing cut"}
    return titles.get(base.name, f"mask '{base.name}'") if base.name not in names else f"mask '{base.name}'"


def show_numbers(found: WhatIf, base: Base, choice: NeuronsChoice, by_hand: Decided, round_taken: int) -> None:
    """Draw the numbers, in a line that stays at the top of the window while the page scrolls."""
    words = base_words(base, choice.by, round_taken)
    said = f"{len(base.top)} channels cut: {words}" if base.top else words[0].upper() + words[1:]
    if len(base.top) == 1:
        said = f"1 channel cut: {words}"
    hand = [f"{len(some)} {word}" for word, some in (("cut", by_hand.cut), ("restored", by_hand.restored)) if some]
    below = f"and by hand {', '.join(hand)}" if hand else _others(base)
    cells = "".join(_cell(name, found, bool(hand)) for name in MEASURE_TITLES)
    with st.container(key=_KEY):
        st.html(
            f"{_style()}<div class='nn' role='status' aria-label='ACC, ASR and RA now'>"
            f"<div class='nn-what'><b>{html.escape(said)}</b><span>{html.escape(below)}</span></div>{cells}</div>"
        )


def _others(base: Base) -> str:
    return "all others whole, as in the original" if base.top else "nothing decided by hand"


def _cell(name: str, found: WhatIf, by_hand: bool) -> str:
    now, before, original = (_share(measures, name) for measures in (found.now, found.base, found.original))
    n = found.now.n_clean if name == "acc" else found.now.n_triggered
    short, _, full = MEASURE_TITLES[name].partition(", ")
    title = html.escape(f"{MEASURE_HELP[name]} n = {count(n)}." if now is not None else MEASURE_HELP[name])
    head = f"<span class='nn-name'>{short}<i>, {full}</i></span><b class='nn-value'>{percent(now)}</b>"
    if now is None or original is None or before is None:
        return f"<div class='nn-cell' title='{title}'>{head}<span>no known trigger</span></div>"
    change = f"by hand {_points(now - before)}" if by_hand else _points(now - original)
    words = f"original {percent(original)}<i>, {change}</i>".replace(" %", "\u00a0%")
    return f"<div class='nn-cell' title='{title}'>{head}<span class='nn-was'>{words}</span></div>"


def _share(measures: Measures, name: str) -> float | None:
    return getattr(measures, name)


def _points(change: float) -> str:
    return f"{100 * change:+.1f} points".replace("-", "\N{MINUS SIGN}")


def _style() -> str:
    theme = current_theme()
    # Streamlit wraps every container in a frame, and this frame has to stay at the top.
    return (
        f"<style>[data-testid='stLayoutWrapper']:has(>.st-key-{_KEY}){{background:{GROUND[theme]}}}"
        f".nn{{border-top:3px solid {view_hex('pruned')}}}{_STYLE}</style>"
    )


_STYLE = """
[data-testid='stLayoutWrapper']:has(>.st-key-neurons-numbers){position:sticky;top:3.5rem;z-index:80;
 padding:.25rem 0 .4rem}
.nn{display:grid;grid-template-columns:minmax(9rem,1.5fr) repeat(3,minmax(0,1fr));column-gap:1rem;
 border-bottom:1px solid color-mix(in srgb,currentColor 18%,transparent);padding:.4rem 0 .45rem;
 font-variant-numeric:tabular-nums;line-height:1.3}
.nn i{font-style:normal}
.nn-what{display:flex;flex-direction:column;justify-content:center}
.nn-what span,.nn-was,.nn-name,.nn-cell>span{font-size:.85rem;opacity:.78}
.nn-cell{display:flex;flex-direction:column;cursor:help}
.nn-value{font-size:1.6rem;font-weight:650;line-height:1.2;white-space:nowrap}
@media (max-width:1100px){.nn-cell i{display:none}}
@media (max-width:640px){.nn{grid-template-columns:repeat(3,minmax(0,1fr));row-gap:.2rem}.nn-what{grid-column:1/-1}
 .nn-value{font-size:1.3rem}.nn-what span{display:none}}
"""
