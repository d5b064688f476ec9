"""What a defence says of itself: pages, documents and commands are drawn from this. Nothing here needs torch."""

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
    """A part of a run with a name of its own.

    Attributes:
        name: in records and configs.
        title, short: on screen; the short one where there is no room.
        explanation: what it is for, in a sentence.
        coming: what its next round does, in a few words that begin small.
    """

    name: str
    title: str
    short: str
    explanation: str
    coming: str


@dataclass(frozen=True)
class Term:
    """A term of what each round makes smaller.

    Attributes:
        title: on screen.
        explanation: when it is low.
        share: whether it is a share in [0, 1] rather than nats.
        view: the view that it is about, whose colour it has; empty for none.
        since: where it is empty at first, from when on it is there, such as `the second phase`; else empty.
    """

    title: str
    explanation: str
    share: bool = False
    view: str = ""
    since: str = ""


@dataclass(frozen=True)
class Capabilities:
    """What a defence has to show; pages draw by it.

    Attributes:
        channels: it gives every channel a gate; else it changes the weights.
        triggers: it synthesizes triggers.
        cuts: its gates can be turned into hard cuts.
        invertible: it learns an inverse view of its own; that of other gates is their complement.
        searches: it looks for the backdoor's label and trigger first (`defenses.base.Searching`).
    """

    channels: bool
    triggers: bool
    cuts: bool
    invertible: bool
    searches: bool = False


@dataclass(frozen=True)
class Course:
    """A run so far, for the sentences that a defence says of it.

    Attributes:
        stage: of the next round.
        records: of all rounds so far.
        classes: the classes' names.
        images: how many clean images the budget has.
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
        name: in commands, addresses and files.
        title, family, paper: of the defence; the family is pruning, fine-tuning or trigger synthesis.
        explanation: what it does, in a sentence or two.
        details: what a reader of its runs has to know beside that, in Markdown.
        config: its settings' class.
        presets: by name; the first is where one begins.
        preset_words: what each preset is, in a sentence.
        stages: in order.
        terms: the terms of its loss by name, in the order in which they are drawn; `total` is the sum.
        capabilities: what it has to show.
        build: the stepper for a config.
        on_transformers: what presets change where encoder blocks are masked.
        exact: presets that run in float32 unless asked otherwise: in bfloat16 they would be another method.
        axes: settings that curves of the page Tune may vary.
        proposed: values of these that the page proposes.
        now: what there is to say of the round at hand beside its stage; None for nothing.
        found: what a run that has ended found out; None for nothing.
        verdict: whether the network is backdoored, from a run's settings, the stage that it is in and what its rounds
            noted; None where nothing tells.
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
            transformer: for a network whose encoder blocks are masked.

        Raises:
            UserError: no such preset, or a setting out of range.
        """
        return preset_of(self.presets, self.on_transformers, name, transformer, changes)

    def stage(self, name: str) -> Stage:
        """The stage of that name; one of a run of an earlier version goes by its name alone."""
        unknown = Stage(name, name.capitalize(), name.capitalize(), "", "one more round")
        return next((stage for stage in self.stages if stage.name == name), unknown)

    def as_json(self) -> dict[str, Any]:
        """What `defenses --json` says of it."""
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
