"""One line about where a run is, what happens next, and a bar for its stages."""

import html
from collections.abc import Sequence
from statistics import median

import streamlit as st

from invmask.exports.frames import most_rounds
from invmask.runs.entries import RoundEntry, RunState, RunSummary, course
from invmask.ui import cache

UNDER_WAY = frozenset({RunState.WAITING, RunState.RUNNING})
_RECENT = 10


def show_state(summary: RunSummary, entries: tuple[RoundEntry, ...], classes: Sequence[str]) -> None:
    """Draw the line and the bar. Takes the same height whatever the run does."""
    most = most_rounds(summary.spec, entries)
    first, second = state_words(summary, entries, most, classes, _others_under_way(summary))
    st.html(
        f'{_STYLE}<div class="dv-state" role="status"><div class="dv-line">{html.escape(first)}</div>'
        f'<div class="dv-next">{html.escape(second)}</div>{_bar(summary, entries)}</div>'
    )


def state_words(
    summary: RunSummary, entries: tuple[RoundEntry, ...], most: int, classes: Sequence[str], others: bool = False
) -> tuple[str, str]:
    """What is said of a run: where it is, and what happens next (or why nothing does).

    Args:
        others: whether other runs are under way, so that this one may have to wait for its turn.
    """
    taken = len(entries)
    defense = summary.spec.entry
    stage = defense.stage(summary.stage)
    so_far = course(summary, entries, classes)
    place = f"{stage.title}, round {taken:,} of at most {most:,}"
    pace = _pace(entries, most)
    coming = f"{stage.coming}. {defense.now(so_far) or _stage_end(summary)}"
    match summary.state:
        case RunState.NEW:
            return f"Not begun, at most {most:,} rounds", "Step takes one round, Run goes on to the end."
        case RunState.WAITING:
            # On a slow machine it takes a while from one unit of work to the next.
            why = "between two rounds" if taken and not others else "waiting for a worker"
            return f"{place} · {why}", f"Next: {coming}"
        case RunState.RUNNING if taken >= most:
            return f"{place} · measuring the result", "The views are measured on all embedded test images."
        case RunState.RUNNING if summary.ending:
            return (
                f"{place} · stopping",
                "The round in hand is finished, then the views are measured on all test images.",
            )
        case RunState.RUNNING:
            return f"{place} · running{pace}", f"Now: {coming}"
        case RunState.PAUSED:
            return f"{place} · paused{pace}", f"Next, at Step or Run: {coming}"
        case RunState.STOPPED:
            return (
                f"Stopped after round {taken:,}{pace}",
                f"{_sentence(summary.stopped_because)} Run goes on from here.",
            )
        case RunState.FAILED:
            return f"{place} · failed", "Nothing that was recorded is lost. Run tries the round again."
        case RunState.FINISHED:
            found, ended = defense.found(so_far), _sentence(summary.stopped_because)
            return f"Finished after round {taken:,}{pace}", f"{ended} {found}" if found else ended


def _others_under_way(summary: RunSummary) -> bool:
    if summary.state is not RunState.WAITING:
        return False
    return any(run.state in UNDER_WAY and run.id != summary.id for run in cache.listing().runs)


def _sentence(text: str | None) -> str:
    return (text or "").strip().rstrip(".") + "." if text else ""


def _pace(entries: tuple[RoundEntry, ...], most: int) -> str:
    if not entries:
        return ""
    seconds = median(entry.seconds for entry in entries[-_RECENT:])
    return f" · {seconds:.1f} s a round" if seconds < 10 or most == len(entries) else f" · {seconds:.0f} s a round"


def _stage_end(summary: RunSummary) -> str:
    return f"The stage ends after {summary.spec.config.rounds(summary.stage):,} rounds at most."


def _bar(summary: RunSummary, entries: tuple[RoundEntry, ...]) -> str:
    config = summary.spec.config
    parts = []
    for stage in summary.spec.entry.stages:
        records = [entry.record for entry in entries if entry.record.stage == stage.name]
        taken, most = len(records), config.rounds(stage.name)
        if not most:
            continue
        ended = records[-1].stage_ended if records else None
        share = 100.0 if ended else 100 * taken / most
        note = f"{taken:,} of {most:,}" if not ended or taken >= most else f"{taken:,}, ended early"
        hint = html.escape(f"{stage.title}: {ended}" if ended else f"{stage.title}: {note} rounds")
        parts.append(
            f'<div class="dv-phase" title="{hint}">'
            f'<div class="dv-track"><div class="dv-fill" style="width:{share:.1f}%"></div></div>'
            f"<div><b>{stage.title}</b> {html.escape(note)}</div></div>"
        )
    return f'<div class="dv-phases">{"".join(parts)}</div>'


_STYLE = """<style>
.dv-state{line-height:1.35}
.dv-line{font-size:1.15rem;font-weight:600;font-variant-numeric:tabular-nums;
 white-space:nowrap;overflow:hidden;text-overflow:ellipsis}
.dv-next{font-size:.92rem;opacity:.8;min-height:2.6em;text-wrap:balance;font-variant-numeric:tabular-nums}
.dv-phases{display:flex;gap:.5rem;margin-top:.3rem}
.dv-phase{flex:1 1 0;min-width:0;font-size:.85rem;font-variant-numeric:tabular-nums;
 white-space:nowrap;overflow:hidden;text-overflow:ellipsis}
.dv-phase>div:last-child{opacity:.85;overflow:hidden;text-overflow:ellipsis}
.dv-track{height:6px;border-radius:3px;overflow:hidden;margin-bottom:.2rem;
 background:color-mix(in srgb,currentColor 15%,transparent)}
.dv-fill{height:100%;background:#2563EB}
</style>"""
