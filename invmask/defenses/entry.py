"""A defence's description of itself, from which pages, documents and commands are made. Nothing here needs torch."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from invmask.defenses.settings import DefenseConfig
from invmask.defenses.verdict import Verdict
from invmask.errors import UserError

if TYPE_CHECKING:
    from invmask.defenses.base import Defense, Record


@dataclass(frozen=True)
class Stage:
    """A named part of a run.

    Attributes:
        name: its name in records and configs.
        title, short: its titles on screen; the short one is for narrow places.
        explanation: its purpose, in a sentence.
        coming: what its next round does, in a few words that begin with a small letter.
    """

    name: str
    title: str
    short: str
    explanation: str
    coming: str


@dataclass(frozen=True)
class Term:
    """A term of the loss that each round makes smaller.

    Attributes:
        title: its title on screen.
        explanation: when the term is low.
        share: whether it is a share in [0, 1].
        view: the view that it is about, which gives its colour; empty for none.
        since: for a term that starts later, when it starts, such as `the second phase`; else empty.
        unit: the unit of one that is not a share; empty for a plain number.
    """

    title: str
    explanation: str
    share: bool = False
    view: str = ""
    since: str = ""
    unit: str = "nats"


@dataclass(frozen=True)
class Capabilities:
    """What a defence can show. Pages are drawn accordingly.

    Attributes:
        channels: it gives every channel a gate; otherwise it changes the weights.
        triggers: it synthesizes triggers.
        cuts: its gates can be turned into hard cuts.
        invertible: it learns an inverse view; for other defences with gates, the inverse view is the complement.
        searches: it first searches for the backdoor's label and trigger (`defenses.base.Searching`).
    """

    channels: bool
    triggers: bool
    cuts: bool
    invertible: bool
    searches: bool = False


@dataclass(frozen=True)
class Course:
    """A run so far, from which a defence makes sentences about it.

    Attributes:
        stage: the stage of the next round.
        records: the records of all rounds so far.
        classes: the classes' names.
        images: number of clean images in the budget.
    """

    config: Any
    stage: str
    records: "Sequence[Record]"
    classes: Sequence[str]
    images: int


def _nothing(_course: Course) -> str | None:
    return None


def _no_verdict(_config: Any, _stage: str, _notes: Mapping[str, Any]) -> Verdict | None:
    return None


@dataclass(frozen=True)
class Entry:
    """A defence in the registry.

    Attributes:
        name: its name in commands, addresses and files.
        title, family, paper: of the defence; the family is pruning, fine-tuning or trigger synthesis.
        explanation: what it does, in a sentence or two.
        details: what a reader of its runs has to know in addition, in Markdown.
        config: the class of its settings.
        presets: its presets by name; the first is the default.
        preset_words: what each preset is, in a sentence.
        stages: its stages in order.
        terms: the terms of its loss by name, in the order in which they are drawn; `total` is the sum.
        capabilities: what it can show.
        build: makes the stepper for a config.
        on_transformers: settings that presets change for networks whose encoder blocks are masked.
        exact: presets that run in float32 by default, because bfloat16 would change the method.
        axes: settings that curves of the page Tune may vary.
        proposed: values of these settings that the page proposes.
        now: a sentence about the current round beside its stage; None for no sentence.
        found: a sentence about what a finished run found; None for no sentence.
        verdict: the verdict on the network, from a run's settings, its stage and the notes of its rounds; None if there
            is no verdict.
    """

    name: str
    title: str
    family: str
    paper: str
    explanation: str
    config: type[DefenseConfig]
    presets: Mapping[str, DefenseConfig]
    preset_words: Mapping[str, str]
    stages: tuple[Stage, ...]
    terms: Mapping[str, Term]
    capabilities: Capabilities
    build: "Callable[[Any], Defense[Any]]"
    details: str = ""
    on_transformers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    exact: frozenset[str] = frozenset()
    axes: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    now: Callable[[Course], str | None] = _nothing
    found: Callable[[Course], str | None] = _nothing
    verdict: Callable[[Any, str, Mapping[str, Any]], Verdict | None] = _no_verdict

    @property
    def first_preset(self) -> str:
        return next(iter(self.presets))

    def preset(self, name: str, transformer: bool = False, **changes: Any) -> Any:
        """The preset of that name with some settings changed.

        Args:
            transformer: whether the network is one whose encoder blocks are masked.

        Raises:
            UserError: no such preset, or a setting out of range.
        """
        return preset_of(self.presets, self.on_transformers, name, transformer, changes)

    def stage(self, name: str) -> Stage:
        """The stage of that name. A stage of an earlier version, which is not known now, has only its name."""
        unknown = Stage(name, name.capitalize(), name.capitalize(), "", "one more round")
        return next((stage for stage in self.stages if stage.name == name), unknown)

    def as_json(self) -> dict[str, Any]:
        """The entry as `defenses --json` prints it."""
        kept = ("title", "symbol", "explanation", "minimum", "maximum", "step", "whole", "basic")
        return {
            "name": self.name,
            "title": self.title,
            "family": self.family,
            "paper": self.paper,
            "explanation": self.explanation,
            "settings": [
                {"name": each.name, "default": getattr(self.presets[self.first_preset], each.name)}
                | {key: getattr(each, key) for key in kept}
                for each in self.config.settings()
            ],
            "presets": {name: config.as_json() for name, config in self.presets.items()},
            "stages": [
                {"name": each.name, "title": each.title, "explanation": each.explanation} for each in self.stages
            ],
            "capabilities": vars(self.capabilities).copy(),
        }


def preset_of(
    presets: Mapping[str, Any],
    on_transformers: Mapping[str, Mapping[str, Any]],
    name: str,
    transformer: bool,
    changes: Mapping[str, Any],
) -> Any:
    """See `Entry.preset`."""
    if name not in presets:
        raise UserError(f"There is no preset '{name:.60}'; choose one of: {', '.join(presets)}.")
    return replace(presets[name], **{**(on_transformers.get(name, {}) if transformer else {}), **changes})
