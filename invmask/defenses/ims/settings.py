"""Every number that IMS takes: how people see it, and the range that makes sense. Defaults: the published ones."""

from dataclasses import dataclass

from invmask.defenses.settings import DefenseConfig, setting

_ROUNDS = "Rounds of each phase, at most"


@dataclass(frozen=True, kw_only=True)
class IMSSettings(DefenseConfig):
    """The fields of `config.IMSConfig`, which says what each does in the formulas."""

    sparsity_weight: float = setting(
        10.0,
        (0, 50, 0.1),
        "Sparsity weight",
        "How strongly the defence is pressed to select few channels. 0 lets it select as many as it likes; larger "
        "values leave more of the network untouched.",
        symbol="λ",
        basic=True,
    )
    steepness: float = setting(
        20.0,
        (1, 100, 1),
        "Steepness",
        "How sharply a mask value is pushed towards 0 or 1. Small values leave channels half cut; large ones make "
        "the mask nearly binary.",
        symbol="k",
        basic=True,
    )
    rounds_initialise: int = setting(
        100,
        (0, 2000, 1),
        "Rounds, initialise",
        "At most so many rounds to find a first split of the channels from clean images alone.",
        basic=True,
        group=_ROUNDS,
    )
    rounds_minimise: int = setting(
        200,
        (0, 2000, 1),
        "Rounds, minimise",
        "At most so many rounds that alternate between making perturbations and learning the mask.",
        basic=True,
        group=_ROUNDS,
    )
    rounds_sparsify: int = setting(
        200,
        (0, 2000, 1),
        "Rounds, sparsify",
        "At most so many further rounds that also press for few selected channels.",
        basic=True,
        group=_ROUNDS,
    )
    inner_steps: int = setting(
        20,
        (1, 200, 1),
        "Inner steps",
        "Steps taken in each round to make the perturbation. More steps make a stronger perturbation and a slower "
        "round.",
        basic=True,
    )
    inner_learning_rate: float = setting(
        0.001,
        (1e-5, 1, 0.0001),
        "Inner learning rate",
        "How far one inner step moves a pixel, where 1 is the whole range from black to white.",
    )
    outer_learning_rate: float = setting(
        0.02,
        (0.0001, 1, 0.001),
        "Outer learning rate",
        "How far one round moves a channel's mask and selection, both between 0 and 1.",
    )
    norm_bound: float = setting(
        1.0,
        (0.001, 1, 0.001),
        "Norm bound",
        "The largest change of a pixel that the perturbation may make, where 1 is the whole range from black to white.",
        basic=True,
    )
    batch_size: int = setting(
        256,
        (1, 4096, 1),
        "Batch size",
        "Clean images used in a round.",
    )
    patience: int = setting(
        25,
        (1, 2000, 1),
        "Patience",
        "A phase goes on for so many rounds without progress, and ends with the next one.",
    )
    progress_ratio: float = setting(
        0.98,
        (0.5, 1, 0.01),
        "Progress ratio",
        "A round counts as progress if the loss falls below this share of the best one before.",
    )
    slope_at_one: float = setting(
        0.0,
        (0, 1, 0.1),
        "Hold of unselected channels",
        "How strongly the sparsity term holds channels that are not selected at all. 0 lets them go freely, as "
        "published; 1 holds them as it holds all others.",
    )
    pressure: float = setting(
        0.0,
        (0, 20, 0.05),
        "Pressure",
        "How strongly the pruned view is pressed to do without channels that the clean images do not need. 0 "
        "switches it off, as published.",
        symbol="μ",
        basic=True,
    )
    start_mask: float = setting(
        1.0,
        (0, 1, 0.05),
        "Starting mask",
        "Where every mask value starts: 1 as published, 0.5 for undecided.",
    )
    amplification: float = setting(
        0.0,
        (0, 20, 0.5),
        "Amplification",
        "How far the channels cut so far are turned up to find out where they lead. 0 switches it off, as published.",
        symbol="κ",
    )
    shared_cycles: float = setting(
        0.0,
        (0, 32, 1),
        "Shared perturbation",
        "One perturbation for all images of a round, made of waves of at most so many cycles across the picture. "
        "0 makes one for each image, free in shape, as published.",
    )
    inner_parts: int = setting(
        1,
        (1, 64, 1),
        "Inner parts",
        "With a shared perturbation, every inner step looks at one of so many parts of the images, in turn: fewer "
        "images a step, a faster round.",
    )
    flips_kept: float = setting(
        0.0,
        (0, 1, 0.05),
        "Flips to keep",
        "Once found, the perturbations of a round are made weaker, all alike, as long as they still change as "
        "many answers as this share of those that they change at full strength. 0 leaves them as found, as "
        "published.",
    )
    crop_padding: int = setting(
        0,
        (0, 32, 1),
        "Crop padding",
        "Pixels by which the clean images are shifted at random, and mirrored, in each round. 0 leaves them as "
        "they are, as published.",
    )
    weight_pruned_clean: float = setting(
        1.0,
        (0, 100, 0.1),
        "Weight, pruned view on clean images",
        "How much it counts that the pruned view keeps its answers to clean images.",
    )
    weight_pruned_perturbed: float = setting(
        1.0,
        (0, 100, 0.1),
        "Weight, pruned view on perturbed images",
        "How much it counts that the pruned view is not led astray by the perturbation. More costs clean accuracy.",
    )
    weight_inverse_clean: float = setting(
        1.0,
        (0, 100, 0.1),
        "Weight, inverse view on clean images",
        "How much it counts, from the second phase on, that the inverse view leaves the right answer on clean images.",
    )
    weight_inverse_perturbed: float = setting(
        1.0,
        (0, 100, 0.1),
        "Weight, inverse view on perturbed images",
        "How much it counts that the inverse view leaves the right answer on perturbed images.",
    )
    keep_clean: float = setting(
        0.0,
        (0, 1, 0.01),
        "Clean answers to keep",
        "While the pruned view keeps more than this share of its answers to clean images, the defence presses "
        "harder from round to round, and else less. 0 presses evenly, as published.",
    )
    effort_growth: float = setting(
        1.1,
        (1, 2, 0.01),
        "Growth of the effort",
        "How much harder it presses, or less hard, from one round to the next.",
    )
    most_effort: float = setting(
        8.0,
        (1, 100, 0.5),
        "Most effort",
        "At most so many times as hard as at the start of a phase.",
    )
    one_label: float = setting(
        0.9,
        (0.1, 1, 0.01),
        "One label",
        "The first phase ends when the channels cut so far, turned up, lead this share of the clean images to one "
        "label. Counts only where clean answers to keep are given, with amplification, and no label won a race.",
    )
    label_rounds: int = setting(
        0,
        (0, 100, 1),
        "Rounds to find a label",
        "For so many rounds of the first phase every label has a mask of its own, which shall also lead the clean "
        "images there when the channels cut are turned up. A label well ahead is likely the backdoor's. Each such "
        "round takes as long as many, the longer the more classes there are. Counts only with amplification, and "
        "below the phase's most rounds. 0 looks for none, as published.",
    )
    label_lead: float = setting(
        0.0,
        (0, 20, 0.05),
        "Lead of a label",
        "By how much the mean loss of a label over the rounds to find it has to be below the next one's, in nats, "
        "for the phase to go on with it. 0 always goes on with the one ahead.",
    )
    weight_turned_up: float = setting(
        1.0,
        (0, 100, 0.1),
        "Weight, cut channels turned up",
        "How much it counts in the first phase that the channels cut, turned up, lead to the label that is gone "
        "on with or, while that is looked for, to each one.",
    )
    hold_lead: float = setting(
        0.0,
        (0, 20, 0.05),
        "Lead to hold to a label",
        "A label that wins its race by at least this, in nats, is held to: to the last round the perturbations "
        "are made to lead there, and the channels cut have to lead there when they are turned up as said below. "
        "Counts only after a race that a label won, with as many clean images as said below. 0 holds to none, as "
        "published.",
    )
    hold_images: int = setting(
        0,
        (0, 1000, 1),
        "Images to hold to a label",
        "With fewer clean images than this, no label is held to: among few images a wrong label easily leads by "
        "far. 40 are four of each of ten classes. 0 holds to a label however few there are.",
    )
    held_amplification: float = setting(
        1.0,
        (0.05, 20, 0.05),
        "Amplification, label held to",
        "How far the channels cut are turned up that have to lead to a label held to, from the end of its race "
        "on. The less, the more channels have to be cut.",
        symbol="κ′",
    )
    weight_held: float = setting(
        1.0,
        (0, 100, 0.1),
        "Weight, label held to",
        "How much it counts after the first phase that the channels cut, turned up, lead to a label held to. With "
        "0 the label only guides the perturbations then.",
    )
