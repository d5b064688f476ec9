"""One line about where a run is, what happens next, and a bar for its three phases."""

import html
import math
from collections.abc import Sequence
from statistics import fmean, median

import streamlit as st

from invmask.defenses.ims.config import Phase
from invmask.exports.frames import most_rounds
from invmask.figures.rounds import PHASE_TITLES
from invmask.runs.entries import RoundEntry, RunState, RunSummary, last_of_race
from invmask.ui import cache

UNDER_WAY = frozenset({RunState.WAITING, RunState.RUNNING})
STATE_HELP = (
    "A round makes perturbations of the clean images that fool the network (from the second phase on), then moves "
    "every channel's mask and selection a little. **Initialise** finds a first split of the channels from clean "
    "images alone; **Minimise** plays perturbations against the mask; **Sparsify** also presses for few selected "
    "channels. A phase ends after its last round, or earlier without progress. Initialise may begin with a **race**: "
    "every label has a mask of its own, and the phase goes on with the one whose mean loss is lowest. A backdoor's "
    "label often leads by a nat (the unit of the losses) or more; a small lead says little, and with few clean images "
    "so does a large one. A label that leads by enough among enough images is **held to**, right or wrong: to the end, "
    "the perturbations shall lead there, and so shall the channels cut (in transformers only during Initialise)."
)

_NEXT = {
    Phase.INITIALISE: "one step on mask and selection, from clean images alone",
    Phase.MINIMISE: "new perturbations, then one step on mask and selection",
    Phase.SPARSIFY: "new perturbations, then one step that also presses for few channels",
}
RECENT = 5
"""Rounds that the pace of a run is taken from: few, for it changes with what else the machine has to do."""


def show_state(summary: RunSummary, entries: tuple[RoundEntry, ...], classes: Sequence[str]) -> None:
    """Draw the line and the bar. Takes the same height whatever the run does."""
    most = most_rounds(summary.spec.config, entries)
    first, second = state_words(summary, entries, most, classes, _others_under_way(summary))
    pace = pace_words(summary, entries, most)
    dot = f'<span class="dv-dot"> · </span>{html.escape(pace)}' if pace else ""
    st.html(
        f'{_STYLE}<div class="dv-state" role="status">'
        f'<div class="dv-line">{html.escape(first)}<span class="dv-pace">{dot}</span></div>'
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
    phase = PHASE_TITLES[summary.phase]
    place = f"{phase}, round {taken:,} of at most {most:,}"
    coming = f"{_NEXT[summary.phase]}. {_label(summary, entries, classes) or _phase_end(summary, entries)}"
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
            raced = _race_end(summary, entries, classes)
            ended = _sentence(summary.stopped_because)
            return f"Finished after round {taken:,}", f"{ended} {raced}" if raced else ended


def _others_under_way(summary: RunSummary) -> bool:
    if summary.state is not RunState.WAITING:
        return False
    return any(run.state in UNDER_WAY and run.id != summary.id for run in cache.listing().runs)


def _sentence(text: str | None) -> str:
    return (text or "").strip().rstrip(".") + "." if text else ""


def pace_words(summary: RunSummary, entries: tuple[RoundEntry, ...], most: int) -> str:
    """How long rounds take, and how long it goes on at most; nothing where nobody knows yet.

    Args:
        most: rounds that the run can come to.
    """
    if summary.state in (RunState.NEW, RunState.WAITING, RunState.FAILED):
        return ""
    if summary.state in (RunState.FINISHED, RunState.STOPPED):
        seconds = mean_seconds([entry.seconds for entry in entries])
        return "" if seconds is None else f"{_seconds(seconds)} a round on average"
    here = [entry for entry in entries if entry.record.phase is summary.phase]
    seconds = recent_seconds([entry.seconds for entry in here])
    if seconds is None:
        return ""
    words = f"{_seconds(seconds)} a round"
    # How long rounds of a later phase will take, nobody knows yet.
    left = max(0, summary.spec.config.rounds(summary.phase) - len(here))
    if summary.state is not RunState.RUNNING or not left:
        return words
    of = "" if left >= most - len(entries) else " of this phase"
    return f"{words}, at most about {duration(left * seconds)}{of} left"


def recent_seconds(seconds: Sequence[float]) -> float | None:
    """How long a round takes at present: the median of the last `RECENT`, in seconds; None of none.

    Args:
        seconds: of the rounds so far, of one phase: those of another take much less or more.
    """
    return median(seconds[-RECENT:]) if seconds else None


def mean_seconds(seconds: Sequence[float]) -> float | None:
    """How long a round took on average, in seconds; None of none."""
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


def _phase_end(summary: RunSummary, entries: tuple[RoundEntry, ...]) -> str:
    config, phase = summary.spec.config, summary.phase
    last = entries[-1].record if entries else None
    here = last is not None and last.phase is phase
    stalled = last.rounds_without_progress if last is not None and here else 0
    return (
        f"The phase ends after {config.rounds(phase):,} rounds, or after more than {config.patience:,} without progress"
        f" ({stalled:,} so far)."
    )


def _label(summary: RunSummary, entries: tuple[RoundEntry, ...], classes: Sequence[str]) -> str | None:
    """What is known of the label that the first phase looks for; None where there is none, or none is held to later."""
    last, config = entries[-1].record if entries else None, summary.spec.config
    if last is None or summary.phase is not Phase.INITIALISE:
        if last is None or last.label is None or not last.held:
            return None
        return f"Held to {classes[last.label]}. {_phase_end(summary, entries)}"
    if last.racing and last.label is not None and last.round_in_phase < config.label_rounds:
        by = "" if last.lead is None else f", by {_nats(last.lead)} nats"
        return f"Labels race: {classes[last.label]} is ahead of the {last.racing} that are left{by}."
    ended = _race_end(summary, entries, classes)
    if ended and "turned up" in last.losses and not last.racing:
        return f"{ended} The channels cut shall lead there when they are turned up."
    return ended


def _race_end(summary: RunSummary, entries: tuple[RoundEntry, ...], classes: Sequence[str]) -> str | None:
    """How the race of labels ended; None where it did not, or there was none."""
    config = summary.spec.config
    last = last_of_race(entries)
    if last is None or last.label is None or last.round_in_phase < config.label_rounds:
        return None
    name = classes[last.label]
    if last.lead is None:
        # Runs from before the lead was recorded.
        on = any("turned up" in entry.record.losses and not entry.record.racing for entry in entries)
        return f"The label {name} won the race." if on else None
    if last.lead >= config.label_lead:
        held = ", and is held to" if last.held else ""
        if not last.held and 0 < config.hold_lead <= last.lead and len(classes) * summary.spec.spc < config.hold_images:
            held = ", but among too few images to be held to"
        return f"The label {name} won the race, by {_nats(last.lead)} nats{held}."
    return f"No label won the race: {name} led by {_nats(last.lead)} of the {config.label_lead:g} nats asked for."


def _nats(lead: float) -> str:
    # Rounded down: what just misses a bound shall not look as if it met it.
    return f"{math.floor(100 * lead) / 100:.2f}"


def _bar(summary: RunSummary, entries: tuple[RoundEntry, ...]) -> str:
    config = summary.spec.config
    parts = []
    for phase in Phase:
        records = [entry.record for entry in entries if entry.record.phase is phase]
        taken, most = len(records), config.rounds(phase)
        if not most:
            continue
        ended = records[-1].phase_ended if records else None
        share = 100.0 if ended else 100 * taken / most
        note = f"{taken:,} of {most:,}" if not ended or taken >= most else f"{taken:,}, ended early"
        hint = html.escape(f"{PHASE_TITLES[phase]}: {ended}" if ended else f"{PHASE_TITLES[phase]}: {note} rounds")
        parts.append(
            f'<div class="dv-phase" title="{hint}">'
            f'<div class="dv-track"><div class="dv-fill" style="width:{share:.1f}%"></div></div>'
            f"<div><b>{PHASE_TITLES[phase]}</b> {html.escape(note)}</div></div>"
        )
    return f'<div class="dv-phases">{"".join(parts)}</div>'


_STYLE = """<style>
.dv-state{line-height:1.35}
.dv-line{font-size:1.15rem;font-weight:600;font-variant-numeric:tabular-nums;
 white-space:nowrap;overflow:hidden;text-overflow:ellipsis}
@media(max-width:1350px){.dv-dot{display:none}
 .dv-pace{display:block;font-size:.92rem;font-weight:400;opacity:.8;min-height:1.35em}}
@media(max-width:640px){.dv-line{white-space:normal}}
.dv-next{font-size:.92rem;opacity:.8;min-height:2.6em;text-wrap:balance;font-variant-numeric:tabular-nums}
.dv-phases{display:flex;gap:.5rem;margin-top:.3rem}
.dv-phase{flex:1 1 0;min-width:0;font-size:.85rem;font-variant-numeric:tabular-nums;
 white-space:nowrap;overflow:hidden;text-overflow:ellipsis}
.dv-phase>div:last-child{opacity:.85;overflow:hidden;text-overflow:ellipsis}
.dv-track{height:6px;border-radius:3px;overflow:hidden;margin-bottom:.2rem;
 background:color-mix(in srgb,currentColor 15%,transparent)}
.dv-fill{height:100%;background:#2563EB}
</style>"""
