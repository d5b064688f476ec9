"""What has to be said under a figure: victim, settings, seed, versions, n."""

from importlib.metadata import version

from invmask import __version__
from invmask.attacks.poison import CLEAN_LABEL
from invmask.defenses.entry import Entry as Defense
from invmask.defenses.settings import DefenseConfig
from invmask.errors import UserError
from invmask.exports.entry import Entry
from invmask.exports.frames import stage_titles
from invmask.exports.records import RunRecords
from invmask.figures.rounds import phase_spans
from invmask.models import is_transformer


def caption(entry: Entry, records: RunRecords) -> str:
    """A paragraph that stands by itself under the figure."""
    parts = [f"{entry.title}.", entry.words(records)]
    n = entry.measured(records)
    if n is not None:
        parts.append(f"Measured on {n.removeprefix('n = ')}.")
    return " ".join([*parts, *provenance(records)])


def provenance(records: RunRecords) -> list[str]:
    """Sentences on the victim, the defence and its settings, the round, and the versions."""
    card, spec, frame = records.victim.card, records.frame.summary.spec, records.frame
    info = card.dataset_info
    victim = f"Victim {card.name} ({info.title}, {card.architecture})"
    if card.targets is None:
        victim += ", a clean control without backdoor."
    else:
        label = card.target_label
        target = "each class's next (all-to-all)" if label is None else f"{label} ({info.classes[label]})"
        how = f"{100 * card.poisoning_ratio:.3g} % poisoning" + (", clean labels" if card.labels == CLEAN_LABEL else "")
        victim += f", attack {card.attack} at {how}, target label {target}."
    stages = [entry.record.stage for entry in frame.entries[: frame.round]]
    spans = phase_spans(stages, stage_titles(frame.defense))
    phases = ", ".join(f"{s.title.lower()} {s.first} to {s.last}" for s in spans)
    changed = _changes(spec.entry, spec.preset, is_transformer(card.architecture), spec.config)
    made_with = ", ".join(f"{name} {number}" for name, number in spec.versions.items()) or "unknown versions"
    defence = (
        f"Defence {spec.made_by}{changed}, SPC {spec.spc}, seed {spec.seed}, "
        f"{spec.precision}; after round {frame.round} of {frame.last} ({phases}); run {records.run.id}."
    )
    return [
        victim,
        defence,
        "Settings: " + ", ".join(f"{key} {value}" for key, value in spec.config.as_json().items()) + ".",
        f"Made with invmask {__version__} and plotly {version('plotly')}; run with {made_with}.",
    ]


def ordinal(number: int) -> str:
    """`1st`, `2nd`, `3rd`, `4th`, `11th`, `1,021st`."""
    ending = "th" if 10 < number % 100 < 14 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number:,}{ending}"


def _changes(defense: Defense, name: str, transformer: bool, config: DefenseConfig) -> str:
    """`, with inner_steps 2`: what differs from the preset."""
    try:
        usual = defense.preset(name, transformer, seed=config.seed).as_json()
    except UserError:
        return ""
    changed = [f"{key} {value}" for key, value in config.as_json().items() if usual.get(key) != value]
    return f" with {', '.join(changed)}" if changed else ""
