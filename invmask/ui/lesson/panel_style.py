"""How the lesson's panel looks: docked at the right on a wide screen, on top of the page on a narrow one."""

import html
from collections.abc import Collection, Sequence

PANEL = "lesson-panel"


def steps_bar(number: int, titles: Sequence[str], answered: Collection[int]) -> str:
    """A bar with a piece for each step: the present one is taller, those that are answered are filled."""
    pieces = "".join(
        f'<i class="{"ls-here" if place == number else ""} {"ls-done" if place in answered else ""}" '
        f'title="{html.escape(f"{place}. {title}")}"></i>'
        for place, title in enumerate(titles, 1)
    )
    return f'<div class="ls-steps"><b>Step {number} of {len(titles)}</b><span aria-hidden="true">{pieces}</span></div>'


STYLE = """<style>
.ls-steps{font-variant-numeric:tabular-nums;font-size:.95rem;min-width:6rem}
.ls-steps span{display:flex;gap:3px;align-items:flex-end;height:10px;margin-top:.2rem}
.ls-steps i{flex:1;max-width:16px;height:5px;border-radius:2px;
 background:color-mix(in srgb,currentColor 22%,transparent)}
.ls-steps i.ls-done{background:color-mix(in srgb,currentColor 65%,transparent)}
.ls-steps i.ls-here{height:10px;background:#2563EB}
.st-key-lesson-panel{border:1px solid color-mix(in srgb,currentColor 16%,transparent);border-radius:.5rem;
 padding:.7rem .9rem 1rem;background:color-mix(in srgb,#2563EB 4%,var(--background-color,Canvas))}
.st-key-lesson-panel h3{padding:0}
/* These buttons show their icon alone. Their name is there to be read out. */
:is(.st-key-lesson-head-Back,.st-key-lesson-head-Next,.st-key-lesson-fold) button [data-testid=stMarkdownContainer]{
 position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
.st-key-lesson-told{border-left:3px solid #2563EB;padding-left:.7rem}
@media (min-width:1100px){
.st-key-lesson-panel{position:fixed;top:3.75rem;right:0;bottom:0;width:344px!important;overflow-y:auto;z-index:80;
 border-width:0 0 0 1px;border-radius:0}
[data-testid="stMainBlockContainer"]:has(.st-key-lesson-panel){padding-right:calc(344px + 1.6rem)}
}
</style>"""
