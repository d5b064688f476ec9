"""The search for label and trigger: one card per label with the smallest synthesized trigger found so far."""

import html

import streamlit as st

from invmask.figures.candidates import DROPPED, ENOUGH, STANDS_OUT, Card, Cards, lead_words, size_words, unit_words
from invmask.figures.palette import GROUND, TEXT
from invmask.ui.parts.samples import image_data_uri, percent
from invmask.ui.shell.theme import current_theme

TITLE = "Which label, and which trigger?"
SEARCH_HELP = (
    "For each label, the defence synthesizes one change that is the same for all images and leads them to this label. "
    "Then it makes the change as small as it can. A label with a backdoor needs a much smaller change than the others, "
    "for the attacker's trigger is such a change. No label of an image and no triggered image is used for it."
)
SIDE = 64


def show_search(found: Cards, going_on: bool) -> None:
    """Draw the cards; they take the same space in every round. The heading is drawn by the caller.

    Args:
        going_on: whether the shown round belongs to the search, rather than to a later stage.
    """
    theme = current_theme()
    cards = "".join(_card(found, card) for card in found.cards)
    words = "".join(f"<span>{html.escape(sentence)}</span> " for sentence in search_words(found, going_on))
    st.html(
        f'{_STYLE}<div class="ds-words" role="status" tabindex="0">{words}</div>'
        f'<div class="ds-cards" style="--ink:{TEXT[theme]};--ground:{GROUND[theme]}">{cards}</div>'
    )
    st.caption(reading_words(found))


def search_words(found: Cards, going_on: bool) -> tuple[str, str]:
    """Which label's synthesized trigger is the smallest, and whether it stands out."""
    best = next((card.title for card in found.cards if card.stands_out), None)
    if best is not None:
        return lead_words(found), f"The label {best} stands out: it is the suspected target label."
    return lead_words(found), "No label stands out yet." if going_on else "No label stood out."


def reading_words(found: Cards) -> str:
    """How to read the cards."""
    return (
        f"One card a label, with the smallest synthesized trigger found for it: a {found.family.title}. "
        f"The bar is its size: {found.family.measure}; a full bar is {found.full:,.4g}{unit_words(found.family)}. "
        "**A short bar is suspicious**: a label with a backdoor needs only a small change. "
        f"A hollow bar says little yet: fewer than {percent(ENOUGH, 0)} of the images are led there."
    )


def _card(found: Cards, card: Card) -> str:
    title, unit = html.escape(card.title, quote=True), unit_words(found.family)
    size = size_words(card.size, found.family)
    number = size.removesuffix(unit)
    kind = {STANDS_OUT: " ds-out", DROPPED: " ds-dropped"}.get(card.mark, "")
    mark = f'<span class="ds-mark">{card.mark}</span>' if card.mark else ""
    full = " ds-over" if card.size > found.full else ""
    hollow = "" if card.tells else " ds-hollow"
    return (
        f'<figure class="ds-card{kind}">{mark}<figcaption title="{title}">{title}</figcaption>'
        f'<div class="ds-body"><img src="{image_data_uri(card.portrait)}" alt="Synthesized trigger for {title}">'
        f'<div class="ds-said"><b>{html.escape(number)}<small>{html.escape(size[len(number) :])}</small></b>'
        f"<span>{percent(card.flips, 0)} of images led here</span></div></div>"
        f'<div class="ds-bar{hollow}{full}"><div style="width:{100 * found.share(card):.1f}%"></div></div></figure>'
    )


_STYLE = f"""<style>
.ds-words{{font-size:1.05rem;line-height:1.35;min-height:1.35em;margin-bottom:1rem;font-variant-numeric:tabular-nums}}
.ds-words span:last-child{{font-weight:650}}
.ds-cards{{display:grid;gap:1rem .6rem;grid-template-columns:repeat(auto-fill,minmax({3 * SIDE:.0f}px,1fr))}}
.ds-card{{position:relative;container-type:inline-size;margin:0;padding:.5rem .5rem .55rem;border-radius:.4rem;
 border:1px solid color-mix(in srgb,currentColor 22%,transparent);font-variant-numeric:tabular-nums}}
.ds-card figcaption{{font-size:.95rem;font-weight:600;line-height:1.3;margin-bottom:.3rem;color:inherit;
 white-space:nowrap;overflow:hidden;text-overflow:ellipsis}}
.ds-body{{display:flex;gap:.5rem;align-items:center;margin-bottom:.45rem}}
.ds-body img{{display:block;flex:none;width:{SIDE}px;height:{SIDE}px;border-radius:2px;image-rendering:pixelated;
 object-fit:contain;outline:1px solid color-mix(in srgb,currentColor 30%,transparent);outline-offset:-1px}}
@container (min-width:{2.75 * SIDE:.0f}px){{.ds-body img{{width:{1.5 * SIDE:.0f}px;height:{1.5 * SIDE:.0f}px}}}}
.ds-said{{min-width:0;line-height:1.25}}
.ds-said b{{display:block;font-size:1.12rem;font-weight:650;white-space:nowrap}}
.ds-said small{{font-size:.82em;font-weight:500}}
.ds-said span{{display:block;min-height:3.75em;font-size:.85rem;opacity:.8}}
.ds-bar{{height:9px;border-radius:2px;background:color-mix(in srgb,currentColor 12%,transparent)}}
.ds-bar div{{box-sizing:border-box;height:100%;min-width:3px;border-radius:2px;
 background:color-mix(in srgb,currentColor 62%,transparent)}}
.ds-bar.ds-hollow div{{background:var(--ground);border:2px solid color-mix(in srgb,currentColor 62%,transparent)}}
.ds-bar.ds-over div{{-webkit-mask-image:linear-gradient(90deg,#000 82%,transparent);
 mask-image:linear-gradient(90deg,#000 82%,transparent)}}
.ds-mark{{position:absolute;top:-.72rem;right:.5rem;padding:0 .45rem;border-radius:.7rem;font-size:.82rem;
 line-height:1.3rem;background:var(--ground);border:1px solid color-mix(in srgb,currentColor 35%,transparent)}}
.ds-out{{border-color:var(--ink);box-shadow:inset 0 0 0 2px var(--ink)}}
.ds-out .ds-mark{{background:var(--ink);border-color:var(--ink);color:var(--ground);font-weight:650}}
.ds-out .ds-bar div{{background:var(--ink)}}
.ds-dropped img,.ds-dropped .ds-bar{{opacity:.4}}
.ds-dropped .ds-said,.ds-dropped figcaption{{opacity:.68}}
@media (max-width:1100px){{.ds-words{{min-height:2.7em}}
 .ds-cards{{grid-template-columns:repeat(auto-fill,minmax({2.4 * SIDE:.0f}px,1fr))}}}}
@media (max-width:640px){{.ds-words{{min-height:5.4em}}}}
</style>"""
