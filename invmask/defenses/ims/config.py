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

    What follows is ours; its defaults leave the published method as it is.

    Attributes:
        pressure: weight of mean(m) in every phase. It presses the pruned view to keep no channel that the answers
            to clean images do not need, and a backdoor's channels are such.
        start_mask: where every mask value starts; at 0.5 a channel belongs to neither side yet.
        amplification: kappa. Above 0, the inner problem leads the reference to the answers that it gives to the
            clean images while the channels cut so far are turned up, with gates 1 + kappa (1 - m), and asks the pruned
            view to keep its answers: what the cut channels stand for is the backdoor, not any weakness.
        crop_padding: pixels of zero padding around a clean image before a random crop and flip in each round;
            0 leaves the images as they are.
        weight_pruned_clean, weight_pruned_perturbed, weight_inverse_perturbed: of the outer terms
            agree(pruned(x), ref(x)), agree(pruned(x+d), ref(x)) and disagree(inverse(x+d), ref(x)).
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
    pressure: float = 0.0
    start_mask: float = 1.0
    amplification: float = 0.0
    crop_padding: int = 0
    weight_pruned_clean: float = 1.0
    weight_pruned_perturbed: float = 1.0
    weight_inverse_perturbed: float = 1.0

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
        50,
        0.1,
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
    Setting(
        "pressure",
        "Pressure",
        "μ",
        "How strongly the pruned view is pressed to do without channels that the clean "
        "images do not need. 0 switches it off, as published.",
        0,
        20,
        0.05,
    ),
    Setting(
        "start_mask",
        "Starting mask",
        "",
        "Where every mask value starts: 1 as published, 0.5 for undecided.",
        0,
        1,
        0.05,
    ),
    Setting(
        "amplification",
        "Amplification",
        "κ",
        "How far the channels cut so far are turned up to find out where they lead. 0 switches it off, as published.",
        0,
        20,
        0.5,
    ),
    Setting(
        "crop_padding",
        "Crop padding",
        "",
        "Pixels by which the clean images are shifted at random, and mirrored, in "
        "each round. 0 leaves them as they are, as published.",
        0,
        32,
        1,
        True,
    ),
    Setting(
        "weight_pruned_clean",
        "Weight, pruned view on clean images",
        "",
        "How much it counts that the pruned view keeps its answers to clean images.",
        0,
        100,
        0.1,
    ),
    Setting(
        "weight_pruned_perturbed",
        "Weight, pruned view on perturbed images",
        "",
        "How much it counts that the pruned view is not led astray by the perturbation. More costs clean accuracy.",
        0,
        100,
        0.1,
    ),
    Setting(
        "weight_inverse_perturbed",
        "Weight, inverse view on perturbed images",
        "",
        "How much it counts that the inverse view leaves the right answer on perturbed images.",
        0,
        100,
        0.1,
    ),
)

PRESETS: dict[str, IMSConfig] = {
    "paper": IMSConfig(),
    "default": IMSConfig(
        sparsity_weight=0.2,
        rounds_initialise=50,
        rounds_minimise=10,
        rounds_sparsify=12,
        inner_steps=5,
        inner_learning_rate=0.004,
        outer_learning_rate=0.05,
        pressure=1.0,
        start_mask=0.5,
        amplification=2.0,
        crop_padding=4,
        weight_pruned_clean=4.0,
        weight_pruned_perturbed=0.2,
        weight_inverse_perturbed=0.5,
    ),
}


def preset(name: str, **changes: Any) -> IMSConfig:
    """The preset of that name with some settings changed.

    Raises:
        UserError: no such preset, or a setting out of range.
    """
    if name not in PRESETS:
        raise UserError(f"There is no preset '{name}'; choose one of: {', '.join(PRESETS)}.")
    return replace(PRESETS[name], **changes)
