"""The settings of IMS, their ranges, and the presets."""

from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from typing import Any

from invmask.errors import UserError


class Phase(StrEnum):
    """The three phases, in order."""

    INITIALISE = "initialise"
    MINIMISE = "minimise"
    SPARSIFY = "sparsify"


@dataclass(frozen=True)
class IMSConfig:
    """Every number that IMS takes. The defaults are the published settings (preset `paper`).

    Attributes:
        sparsity_weight: lambda, the weight of mean(1 - s) in the phases that have it.
        steepness: k of q(a) = sigmoid(k (a - 0.5)).
        rounds_initialise, rounds_minimise, rounds_sparsify: at most so many rounds a phase.
        inner_steps: AdamW steps on the perturbation a round.
        inner_learning_rate: of those steps, in the units of pixels in [0, 1].
        outer_learning_rate: of the one AdamW step a round on mask and selection.
        norm_bound: largest absolute change of a pixel.
        batch_size: clean images a round; the whole budget where it fits.
        patience: rounds without progress after which a phase ends.
        progress_ratio: progress is an outer loss below this share of the best before.
        seed: fixes the batches.
    """

    sparsity_weight: float = 10.0
    steepness: float = 20.0
    rounds_initialise: int = 100
    rounds_minimise: int = 200
    rounds_sparsify: int = 200
    inner_steps: int = 20
    inner_learning_rate: float = 0.001
    outer_learning_rate: float = 0.02
    norm_bound: float = 1.0
    batch_size: int = 256
    patience: int = 25
    progress_ratio: float = 0.98
    seed: int = 0

    def __post_init__(self) -> None:
        for setting in SETTINGS:
            value = getattr(self, setting.name)
            if not setting.minimum <= value <= setting.maximum:
                raise UserError(
                    f"{setting.title} has to be between {setting.minimum:g} and {setting.maximum:g}, not {value:g}."
                )

    def rounds(self, phase: Phase) -> int:
        """The most rounds that `phase` may take."""
        return {
            Phase.INITIALISE: self.rounds_initialise,
            Phase.MINIMISE: self.rounds_minimise,
            Phase.SPARSIFY: self.rounds_sparsify,
        }[phase]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "IMSConfig":
        """The config from `as_json`.

        Raises:
            UserError: a setting that does not exist, or one out of range.
        """
        unknown = set(values) - {field.name for field in fields(cls)}
        if unknown:
            raise UserError(f"IMS has no setting named {', '.join(sorted(unknown))}.")
        return cls(**values)


@dataclass(frozen=True)
class Setting:
    """How one setting is shown to people: title, the formula's symbol, what it does, and the range that makes sense."""

    name: str
    title: str
    symbol: str
    explanation: str
    minimum: float
    maximum: float
    step: float
    whole: bool = False


SETTINGS: tuple[Setting, ...] = (
    Setting(
        "sparsity_weight",
        "Sparsity weight",
        "λ",
        "How strongly the defence is pressed to select few channels. "
        "0 lets it select as many as it likes; larger values leave more of the network untouched.",
        0,
        100,
        0.5,
    ),
    Setting(
        "steepness",
        "Steepness",
        "k",
        "How sharply a mask value is pushed towards 0 or 1. "
        "Small values leave channels half cut; large ones make the mask nearly binary.",
        1,
        100,
        1,
    ),
    Setting(
        "rounds_initialise",
        "Rounds, initialise",
        "",
        "At most so many rounds to find a first split of the channels from clean images alone.",
        0,
        2000,
        1,
        True,
    ),
    Setting(
        "rounds_minimise",
        "Rounds, minimise",
        "",
        "At most so many rounds that alternate between making perturbations and learning the mask.",
        0,
        2000,
        1,
        True,
    ),
    Setting(
        "rounds_sparsify",
        "Rounds, sparsify",
        "",
        "At most so many further rounds that also press for few selected channels.",
        0,
        2000,
        1,
        True,
    ),
    Setting(
        "inner_steps",
        "Inner steps",
        "",
        "Steps taken in each round to make the perturbation. More steps make a "
        "stronger perturbation and a slower round.",
        1,
        200,
        1,
        True,
    ),
    Setting(
        "inner_learning_rate",
        "Inner learning rate",
        "",
        "How far one inner step moves a pixel, where 1 is the whole range from black to white.",
        1e-5,
        1,
        1e-4,
    ),
    Setting(
        "outer_learning_rate",
        "Outer learning rate",
        "",
        "How far one round moves a channel's mask and selection, both between 0 and 1.",
        1e-4,
        1,
        1e-3,
    ),
    Setting(
        "norm_bound",
        "Norm bound",
        "",
        "The largest change of a pixel that the perturbation may make, where 1 is the whole range from black to white.",
        0.001,
        1,
        0.001,
    ),
    Setting("batch_size", "Batch size", "", "Clean images used in a round.", 1, 4096, 1, True),
    Setting(
        "patience",
        "Patience",
        "",
        "A phase ends after so many rounds without progress.",
        1,
        2000,
        1,
        True,
    ),
    Setting(
        "progress_ratio",
        "Progress ratio",
        "",
        "A round counts as progress if the loss falls below this share of the best one before.",
        0.5,
        1,
        0.01,
    ),
    Setting("seed", "Seed", "", "Fixes which clean images are drawn, and the batches.", 0, 2**31 - 1, 1, True),
)

PRESETS: dict[str, IMSConfig] = {"paper": IMSConfig(), "default": IMSConfig(inner_steps=5, inner_learning_rate=0.004)}


def preset(name: str, **changes: Any) -> IMSConfig:
    """The preset of that name with some settings changed.

    Raises:
        UserError: no such preset, or a setting out of range.
    """
    if name not in PRESETS:
        raise UserError(f"There is no preset '{name}'; choose one of: {', '.join(PRESETS)}.")
    return replace(PRESETS[name], **changes)
