"""Everything that the replay of a run shows, as JSON values."""

import math
from typing import Any

from invmask.defenses.verdict import verdict_words
from invmask.exports.replay.channels import channel_maps
from invmask.exports.replay.flip import flip_samples
from invmask.exports.replay.rounds import search_rounds, trigger_rounds
from invmask.figures.measures import MEASURE_TITLES
from invmask.figures.palette import VIEW_EXPLANATIONS, VIEW_TITLES
from invmask.figures.rounds import phase_spans
from invmask.frames.captions import provenance
from invmask.frames.entry import on_probe
from invmask.frames.frame import stage_titles
from invmask.frames.run_records import RunRecords
from invmask.runs.store.records import verdict
from invmask.victims.without_trigger import missing as sentences

BEFORE = "Before the first round"


def replay_data(records: RunRecords) -> dict[str, Any]:
    """The data of the replay: all rounds up to that of `records`, which should be the latest one.

    `values` are shares in [0, 1], by measure, view and round from 0; None where nothing was measured.
    """
    frame = records.frame
    views = [view.value for view in frame.repair_views]
    original = frame.summary.original
    assert original is not None
    measures = [name for name in MEASURE_TITLES if getattr(original, name) is not None]
    spans = phase_spans([entry.record.stage for entry in frame.entries], stage_titles(frame.defense))
    return {
        "rounds": frame.last,
        "before": BEFORE,
        "stages": [{"title": s.title, "short": s.short, "first": s.first, "last": s.last} for s in spans],
        "classes": list(records.classes),
        "views": [{"name": v, "title": VIEW_TITLES[v], "explanation": VIEW_EXPLANATIONS[v]} for v in views],
        "measures": [{"name": name, "title": MEASURE_TITLES[name]} for name in measures],
        "values": {name: [_curve(records, name, view) for view in views] for name in measures},
        "map": channel_maps(frame),
        "search": search_rounds(records),
        "triggers": trigger_rounds(records),
        "flip": flip_samples(records),
    }


def words(records: RunRecords) -> dict[str, Any]:
    """The sentences of the page that do not change with the round."""
    frame, summary = records.frame, records.frame.summary
    told = None if frame.searching else verdict(summary, frame.entries)
    missing = sentences(records.victim.card)
    if not frame.capabilities.channels:
        missing.append(f"{frame.defense.title} changes weights and has no masks, so there is no map of channels.")
    unfinished = "" if summary.result is not None else "The run has not ended."
    return {
        "title": f"Replay of {summary.name or f'{frame.defense.title} on {summary.spec.victim}'}",
        "about": provenance(records),
        "verdict": "" if told is None else f"{verdict_words(told, records.classes)}.",
        "ended": summary.stopped_because or unfinished,
        "measured": f"Measured after every round on the same test images: {on_probe(records)}.",
        "missing": missing,
    }


def _curve(records: RunRecords, measure: str, view: str) -> list[float | None]:
    frame = records.frame
    found = [frame.summary.original, *(entry.views.of(view) for entry in frame.entries)]
    return [_rounded(None if of is None else getattr(of, measure)) for of in found]


def _rounded(share: float | None) -> float | None:
    return None if share is None or math.isnan(share) else round(share, 4)
