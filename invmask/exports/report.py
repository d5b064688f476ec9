"""A report of a run as one self-contained HTML file: results, settings, and every figure with its caption."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from invmask.defenses.verdict import regression, reliability, verdict_words
from invmask.exports.book import entries_of
from invmask.exports.html_file import figure_part
from invmask.figures.palette import VIEW_TITLES
from invmask.frames.captions import provenance, setting_title, settings
from invmask.frames.entry import measured_on
from invmask.frames.run_records import RunRecords
from invmask.glossary import GLOSSARY
from invmask.masks.state import Sparsity
from invmask.runs.store import files
from invmask.runs.store.records import Views, verdict

MEASURES = {"acc": "ACC, clean accuracy", "asr": "ASR, attack success rate", "ra": "RA, recovery accuracy"}
_TITLES = {"spc": GLOSSARY["spc"].title, "probe_per_class": "Probe images a class, at most", "defense": "Defence"}


def write_report(
    path: Path, records: RunRecords, on_progress: Callable[[int, int, str], None] = lambda *_: None
) -> None:
    """Write the report to `path`.

    Raises:
        OSError: the file cannot be written.
    """
    files.write_bytes(path, report(records, on_progress).encode())


def report(records: RunRecords, on_progress: Callable[[int, int, str], None] = lambda *_: None) -> str:
    """The report's HTML, about 5 MB, because it contains plotly.js once."""
    entries, figures = entries_of(records), []
    for done, entry in enumerate(entries):
        on_progress(done, len(entries), entry.title)
        picture = Markup(figure_part(entry.draw(records, "light"), with_library=False))
        n = entry.measured(records)
        words = entry.words(records) + ("" if n is None else f" {n}.")
        figures.append({"title": entry.title, "caption": words, "picture": picture})
    on_progress(len(entries), len(entries), "")
    frame = records.frame
    views, measured = _measured(records)
    shown = [name for name in MEASURES if getattr(views.original, name) is not None]
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template("report.html.j2").render(
        title=f"{frame.defense.title} on {frame.summary.spec.victim}",
        subtitle=provenance(records)[0],
        verdict=_verdict(records),
        outcome=_outcome(records),
        measures=[MEASURES[name] for name in shown],
        views=[
            {
                "name": name,
                "title": VIEW_TITLES[name],
                "values": [_percent(getattr(measures, measure)) for measure in shown],
            }
            for name, measures in views.present().items()
        ],
        measured=measured,
        facts=_facts(records),
        figures=figures,
        library=Markup(get_plotlyjs()),
    )


def _measured(records: RunRecords) -> tuple[Views, str]:
    """Measures on all embedded test images if the run ended at this round, else on its probe; and a note on which."""
    frame, result = records.frame, records.frame.summary.result
    if result is not None and result.round == frame.round:
        return result.views, f"On all embedded test images: {measured_on(result.views.original)}."
    return frame.views, f"On the run's probe of the test images: {measured_on(frame.views.original)}."


def _outcome(records: RunRecords) -> str:
    frame = records.frame
    if frame.capabilities.channels:
        counts = Sparsity.of(records.run.masks_at(frame.round))
        made = (
            f"of {counts.channels:,} channels, {counts.selected:,} are selected, {counts.pruned:,} pruned and "
            f"{counts.inverse_cut:,} cut in the inverse view."
        )
    else:
        made = f"{frame.defense.title} has changed the network's weights."
    reason = frame.summary.stopped_because
    ended = f" {reason}" if reason and frame.round == frame.last else ""
    going = "" if frame.summary.result or frame.round < frame.last else " The run has not ended."
    return f"After round {frame.round} of {frame.last}: {made}{ended}{going}"


def _verdict(records: RunRecords) -> str:
    """The verdict in a few sentences; empty if the run's defence gives no verdict, or not yet."""
    frame = records.frame
    told = None if frame.searching else verdict(frame.summary, frame.entries)
    return "" if told is None else f"{verdict_words(told, records.classes)}. {reliability(regression())}"


def _facts(records: RunRecords) -> list[tuple[str, Any]]:
    spec = records.frame.summary.spec
    facts = asdict(spec)
    versions = facts.pop("versions")
    del facts["config"]
    named = {
        "Run": records.run.id,
        **{_TITLES.get(key, key.replace("_", " ").capitalize()): value for key, value in facts.items()},
    }
    listed = {
        **{setting_title(setting): _setting(value, usual) for setting, value, usual in settings(records)},
        "Versions": ", ".join(f"{key} {value}" for key, value in versions.items()),
        "Made with": provenance(records)[-1],
    }
    return [*named.items(), *listed.items()]


def _setting(value: float, usual: float | None) -> str:
    """`0.5 (preset 0.2)`, or only the value if it is the preset's."""
    return f"{value:g}" if usual is None or usual == value else f"{value:g} (preset {usual:g})"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"
