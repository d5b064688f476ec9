"""One line about the state of a run and what happens next, and a bar of its stages."""

import html
import math
from collections.abc import Sequence
from statistics import fmean, median

import streamlit as st

from invmask.frames.frame import most_rounds
from invmask.runs.store.records import RoundEntry, RunState, RunSummary, course
from invmask.ui.shell import cache

UNDER_WAY = frozenset({RunState.WAITING, RunState.RUNNING})
RECENT = 5
"""Number of rounds from which the pace is computed; few, because it changes with the load of the machine."""


def show_state(summary: RunSummary, entries: tuple[RoundEntry, ...], classes: Sequence[str]) -> None:
    """Draw the line and the bar. They have the same height in every state of the run."""
    most = most_rounds(summary.spec, entries)
    carrier, under_way = cache.executor(), _under_way(summary)
    first, second = state_words(
        summary, entries, most, classes, under_way > 1, place_words(summary.id, carrier.queue, carrier.places)
    )
    pace = pace_words(summary, entries, most, max(1.0, under_way / carrier.places))
    dot = f'<span class="dv-dot"> · </span>{html.escape(pace)}' if pace else ""
    st.html(
        f'{_STYLE}<div class="dv-state" role="status">'
        f'<div class="dv-line">{html.escape(first)}<span class="dv-pace">{dot}</span></div>'
        f'<div class="dv-next" title="{html.escape(second)}">{html.escape(second)}</div>{_bar(summary, entries)}</div>'
    )


def state_words(
    summary: RunSummary,
    entries: tuple[RoundEntry, ...],
    most: int,
    classes: Sequence[str],
    others: bool = False,
    queue: str = "",
) -> tuple[str, str]:
    """Two sentences about a run: its state, and what happens next (or why nothing does).

    Args:
        most: the maximum number of rounds of the run.
        others: whether other runs are under way, so that this run may have to wait.
        queue: its place in the queue, in words; empty if that is not known.
    """
    taken = len(entries)
    defense = summary.spec.entry
    stage = defense.stage(summary.stage)
    so_far = course(summary, entries, classes)
    place = f"{stage.title}, round {taken:,} of at most {most:,}"
    coming = f"{stage.coming}. {defense.now(so_far) or _stage_end(summary)}"
    match summary.state:
        case RunState.NEW:
            return f"Not begun, at most {most:,} rounds", "Step takes one round, Run goes on to the end."
        case RunState.WAITING:
            # On a slow machine there is a pause between two units of work.
            why = "between two rounds" if taken and not others else queue or "waiting for a worker"
            return f"{place} · {why}", f"Next: {coming}"
        case RunState.RUNNING if taken >= most:
            return f"{place} · measuring the result", "The views are measured on all embedded test images."
        case RunState.RUNNING if summary.ending:
            return (
                f"{place} · stopping",
                "The round in hand is finished, then the views are measured on all test images.",
            )
        case RunState.RUNNING:
            return f"{place} · running", f"Now: {coming}"
        case RunState.PAUSED:
            return f"{place} · paused", f"Next, at Step or Run: {coming}"
        case RunState.STOPPED:
            return (
                f"Stopped after round {taken:,}",
                f"{_sentence(summary.stopped_because)} Run goes on from here.",
            )
        case RunState.FAILED:
            return f"{place} · failed", "Nothing that was recorded is lost. Run tries the round again."
        case RunState.FINISHED:
            found, ended = defense.found(so_far), _sentence(summary.stopped_because)
            return f"Finished after round {taken:,}", f"{ended} {found}" if found else ended


def place_words(run: str, queue: Sequence[str], places: int) -> str:
    """A run's place among those that wait: `turn 5 of 12 waiting, 2 at a time`; empty if it does not wait.

    Args:
        queue: ids of the runs that wait, the next one first.
        places: how many runs are advanced at once.
    """
    if run not in queue:
        return ""
    if len(queue) == 1:
        return "next in turn"
    at_once = "one at a time" if places == 1 else f"{places} at a time"
    return f"turn {queue.index(run) + 1} of {len(queue)} waiting, {at_once}"


def _under_way(summary: RunSummary) -> int:
    """How many runs are under way, this one included."""
    if summary.state not in UNDER_WAY:
        return 1
    return 1 + sum(run.state in UNDER_WAY and run.id != summary.id for run in cache.listing().runs)


def _sentence(text: str | None) -> str:
    return (text or "").strip().rstrip(".") + "." if text else ""


def pace_words(summary: RunSummary, entries: tuple[RoundEntry, ...], most: int, sharing: float = 1.0) -> str:
    """How long a round takes, and how long the run takes at most from now on; empty if it is not known yet.

    Args:
        most: the maximum number of rounds of the run.
        sharing: how many runs share a worker, so that each takes so many times as long.
    """
    if summary.state in (RunState.NEW, RunState.FAILED) or (summary.state is RunState.WAITING and sharing <= 1):
        return ""
    if summary.state in (RunState.FINISHED, RunState.STOPPED):
        seconds = mean_seconds([entry.seconds for entry in entries])
        return "" if seconds is None else f"{_seconds(seconds)} a round on average"
    here = [entry for entry in entries if entry.record.stage == summary.stage]
    seconds = recent_seconds([entry.seconds for entry in here])
    if seconds is None:
        return ""
    words = f"{_seconds(seconds)} a round"
    # The duration of rounds in a later stage is not known yet.
    left = max(0, summary.spec.config.rounds(summary.stage) - len(here))
    if summary.state not in UNDER_WAY or not left:
        return words
    of = "" if left >= most - len(entries) else " of this stage"
    shared = ", in turn with other runs" if sharing > 1 else ""
    return f"{words}, at most about {duration(left * seconds * sharing)}{of} left{shared}"


def recent_seconds(seconds: Sequence[float]) -> float | None:
    """The present duration of a round in seconds: the median of the last `RECENT` rounds; None without rounds.

    Args:
        seconds: durations of one stage's rounds so far; rounds of another stage may differ much.
    """
    return median(seconds[-RECENT:]) if seconds else None


def mean_seconds(seconds: Sequence[float]) -> float | None:
    """The mean duration of a round in seconds; None without rounds."""
    return fmean(seconds) if seconds else None


def duration(seconds: float) -> str:
    """`40 s`, `4 min` or `2 h 10 min`, rounded up to ten seconds, a minute and ten minutes."""
    if seconds <= 50:
        return f"{max(1, math.ceil(seconds / 10)) * 10} s"
    minutes = math.ceil(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, tens = divmod(math.ceil(minutes / 10), 6)
    return f"{hours} h {tens}0 min" if tens else f"{hours} h"


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"


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
.dv-line{font-size:1.1rem;font-weight:600;font-variant-numeric:tabular-nums;
 white-space:nowrap;overflow:hidden;text-overflow:ellipsis}
.dv-pace{font-weight:400}
.dv-next{font-size:.92rem;opacity:.85;height:1.4em;font-variant-numeric:tabular-nums;
 white-space:nowrap;overflow:hidden;text-overflow:ellipsis}
@media(max-width:640px){.dv-line{white-space:normal;min-height:2.7em}.dv-next{white-space:normal;height:auto;min-height:4.2em}}
.dv-phases{display:flex;gap:.5rem;margin-top:.2rem}
.dv-phase{flex:1 1 0;min-width:0;font-size:.85rem;font-variant-numeric:tabular-nums;
 white-space:nowrap;overflow:hidden;text-overflow:ellipsis}
.dv-phase>div:last-child{opacity:.85;overflow:hidden;text-overflow:ellipsis}
.dv-track{height:6px;border-radius:3px;overflow:hidden;margin-bottom:.2rem;
 background:color-mix(in srgb,currentColor 15%,transparent)}
.dv-fill{height:100%;background:#2563EB}
</style>"""
