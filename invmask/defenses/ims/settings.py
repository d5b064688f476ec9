"""How the settings of IMS are shown to people, and the ranges that make sense."""

from dataclasses import dataclass


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
        "A phase goes on for so many rounds without progress, and ends with the next one.",
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
        "slope_at_one",
        "Hold of unselected channels",
        "",
        "How strongly the sparsity term holds channels that are not selected at all. "
        "0 lets them go freely, as published; 1 holds them as it holds all others.",
        0,
        1,
        0.1,
    ),
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
        "shared_cycles",
        "Shared perturbation",
        "",
        "One perturbation for all images of a round, made of waves of at most so many cycles across the picture. "
        "0 makes one for each image, free in shape, as published.",
        0,
        32,
        1,
    ),
    Setting(
        "inner_parts",
        "Inner parts",
        "",
        "With a shared perturbation, every inner step looks at one of so many parts of the images, in turn: "
        "fewer images a step, a faster round.",
        1,
        64,
        1,
        True,
    ),
    Setting(
        "flips_kept",
        "Flips to keep",
        "",
        "Once found, the perturbations of a round are made weaker, all alike, as long as they still change as many "
        "answers as this share of those that they change at full strength. 0 leaves them as found, as published.",
        0,
        1,
        0.05,
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
        "weight_inverse_clean",
        "Weight, inverse view on clean images",
        "",
        "How much it counts, from the second phase on, that the inverse view leaves the right answer on clean images.",
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
    Setting(
        "keep_clean",
        "Clean answers to keep",
        "",
        "While the pruned view keeps more than this share of its answers to clean images, the defence presses "
        "harder from round to round, and else less. 0 presses evenly, as published.",
        0,
        1,
        0.01,
    ),
    Setting(
        "effort_growth",
        "Growth of the effort",
        "",
        "How much harder it presses, or less hard, from one round to the next.",
        1,
        2,
        0.01,
    ),
    Setting(
        "most_effort",
        "Most effort",
        "",
        "At most so many times as hard as at the start of a phase.",
        1,
        100,
        0.5,
    ),
    Setting(
        "one_label",
        "One label",
        "",
        "The first phase ends when the channels cut so far, turned up, lead this share of the clean images to one "
        "label. Counts only where clean answers to keep are given, with amplification, and no label won a race.",
        0.1,
        1,
        0.01,
    ),
    Setting(
        "label_rounds",
        "Rounds to find a label",
        "",
        "For so many rounds of the first phase every label has a mask of its own, which shall also lead the clean "
        "images there when the channels cut are turned up. A label well ahead is likely the backdoor's. Each such "
        "round takes as long as many, the longer the more classes there are. Counts only with amplification, and "
        "below the phase's most rounds. 0 looks for none, as published.",
        0,
        100,
        1,
        True,
    ),
    Setting(
        "label_lead",
        "Lead of a label",
        "",
        "By how much the mean loss of a label over the rounds to find it has to be below the next one's, in nats, for "
        "the phase to go on with it. 0 always goes on with the one ahead.",
        0,
        20,
        0.05,
    ),
    Setting(
        "weight_turned_up",
        "Weight, cut channels turned up",
        "",
        "How much it counts in the first phase that the channels cut, turned up, lead to the label that is gone on "
        "with or, while that is looked for, to each one.",
        0,
        100,
        0.1,
    ),
    Setting(
        "hold_lead",
        "Lead to hold to a label",
        "",
        "A label that wins its race by at least this, in nats, is held to: to the last round the perturbations are "
        "made to lead there, and the channels cut have to lead there when they are turned up as said below. "
        "Counts only after a race that a label won, with as many clean images as said below. 0 holds to none, as "
        "published.",
        0,
        20,
        0.05,
    ),
    Setting(
        "hold_images",
        "Images to hold to a label",
        "",
        "With fewer clean images than this, no label is held to: among few images a wrong label easily leads by far. "
        "40 are four of each of ten classes. 0 holds to a label however few there are.",
        0,
        1000,
        1,
        True,
    ),
    Setting(
        "held_amplification",
        "Amplification, label held to",
        "κ′",
        "How far the channels cut are turned up that have to lead to a label held to, from the end of its race on. "
        "The less, the more channels have to be cut.",
        0.05,
        20,
        0.05,
    ),
    Setting(
        "weight_held",
        "Weight, label held to",
        "",
        "How much it counts after the first phase that the channels cut, turned up, lead to a label held to. With 0 "
        "the label only guides the perturbations then.",
        0,
        100,
        0.1,
    ),
)
