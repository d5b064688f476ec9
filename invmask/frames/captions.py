"""Captions of figures: victim, preset, settings that differ from it, seed, versions and n."""

import contextlib
from importlib.metadata import version
from typing import Any

from invmask import __version__
from invmask.attacks.training.poison_set import CLEAN_LABEL
from invmask.defenses.settings import Setting
from invmask.errors import UserError
from invmask.figures.paper import COLUMN_MM, PAGE_MM
from invmask.figures.rounds import phase_spans
from invmask.frames.entry import Entry
from invmask.frames.frame import stage_titles
from invmask.frames.run_records import RunRecords
from invmask.models import is_transformer
from invmask.victims.without_trigger import missing


def caption(entry: Entry, records: RunRecords) -> str:
    """A self-contained paragraph for a figure."""
    parts = [f"{entry.title}.", entry.words(records)]
    n = entry.measured(records)
    if n is not None:
        parts.append(f"Measured on {n.removeprefix('n = ')}.")
    return " ".join([*parts, *provenance(records)])


def provenance(records: RunRecords) -> list[str]:
    """Sentences about the victim, the defence, its settings that differ from the preset, the round and the versions."""
    card, spec, frame = records.victim.card, records.frame.summary.spec, records.frame
    info = card.dataset_info
    victim = f"Victim {card.name} ({info.title}, {card.architecture})"
    if card.is_unknown:
        victim = " ".join([f"{victim}, of which no trigger is known.", *missing(card)])
    elif card.targets is None or card.poisoning_ratio is None:
        victim += ", a clean control without backdoor."
    else:
        label = card.target_label
        target = "each class's next (all-to-all)" if label is None else f"{label} ({info.classes[label]})"
        how = f"{100 * card.poisoning_ratio:.3g} % poisoning" + (", clean labels" if card.labels == CLEAN_LABEL else "")
        victim += f", attack {card.attack} at {how}, target label {target}."
    stages = [entry.record.stage for entry in frame.entries[: frame.round]]
    spans = phase_spans(stages, stage_titles(frame.defense))
    phases = ", ".join(f"{s.title.lower()} {s.first} to {s.last}" for s in spans)
    changes = "; ".join(
        f"{setting_title(setting)} = {value:g}"
        for setting, value, usual in settings(records)
        if usual is not None and usual != value
    )
    made_with = ", ".join(f"{name} {number}" for name, number in spec.versions.items()) or "unknown versions"
    defence = (
        f"Defence {spec.made_by}{f' (changed: {changes})' if changes else ''}, "
        f"SPC {spec.spc}, seed {spec.seed}, {spec.precision}; after round {frame.round} of {frame.last} ({phases}); "
        f"run {records.run.id}."
    )
    return [victim, defence, f"Made with invmask {__version__} and plotly {version('plotly')}; run with {made_with}."]


def settings(records: RunRecords) -> list[tuple[Setting, float, float | None]]:
    """Every setting of the run's defence, its value and the preset's value; None if the preset no longer exists."""
    spec, architecture = records.frame.summary.spec, records.victim.card.architecture
    config, usual, every = spec.config.as_json(), None, spec.entry.config.settings()
    with contextlib.suppress(UserError):
        usual = spec.entry.preset(spec.preset, is_transformer(architecture), seed=spec.config.seed).as_json()
    return [(each, config[each.name], None if usual is None else usual[each.name]) for each in every]


def setting_title(setting: Setting) -> str:
    """The setting's title and symbol: `Sparsity weight λ`."""
    return f"{setting.title} {setting.symbol}".strip()


def about(records: RunRecords) -> dict[str, Any]:
    """The description of a run's figures as JSON values: run, width in print, and every setting."""
    card, spec, frame = records.victim.card, records.frame.summary.spec, records.frame
    return {
        "width_mm": round(PAGE_MM if records.wide else COLUMN_MM),
        "victim": card.name,
        "dataset": card.dataset,
        "architecture": card.architecture,
        "attack": card.attack,
        "poisoning_ratio": card.poisoning_ratio,
        "target_label": card.target_label,
        "run": records.run.id,
        "round": frame.round,
        "rounds": frame.last,
        "defence": spec.defense,
        "preset": spec.preset,
        "spc": spec.spc,
        "seed": spec.seed,
        "precision": spec.precision,
        "device": spec.device,
        "settings": spec.config.as_json(),
        "versions": {"run": spec.versions, "export": {"invmask": __version__, "plotly": version("plotly")}},
    }


def ordinal(number: int) -> str:
    """`1st`, `2nd`, `3rd`, `4th`, `11th`, `1,021st`."""
    ending = "th" if 10 < number % 100 < 14 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number:,}{ending}"
