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
    rounds_search: int = setting(
        0,
        (0, 600, 4),
        "Rounds, search",
        "At most so many rounds to look for the backdoor's label and for a trigger, a quarter of them for each "
        "kind of trigger. 0 looks for none, as published: then every image gets a perturbation of its own.",
        basic=True,
        group=_ROUNDS,
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
        "Steps taken in each round to make the perturbation or, after a search, to mend the synthesized trigger. More "
        "steps make it stronger and the round slower.",
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
        "The largest change of a pixel that the perturbation may make, where 1 is the whole range from black to white. "
        "It does not bind synthesized triggers: after a search it changes nothing.",
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
    start_mask: float = setting(
        1.0,
        (0, 1, 0.05),
        "Starting mask",
        "Where every mask value starts: 1 as published, 0.5 for undecided.",
    )
    crop_padding: int = setting(
        0,
        (0, 32, 1),
        "Crop padding",
        "Pixels by which the clean images are shifted at random, and mirrored, in each round. 0 leaves them as "
        "they are, as published.",
    )
    mixing: float = setting(
        0.0,
        (0, 1, 0.1),
        "Mixing",
        "Share of the clean images that each round mixes with another one, by up to a half. It makes more of few clean "
        "images. 0 mixes none, as published.",
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
    weight_inverse_follows: float = setting(
        1.0,
        (0, 100, 0.1),
        "Weight, inverse view follows the original",
        "How much it counts that the inverse view falls for the perturbation just as the original does.",
    )
    search_steps: int = setting(
        3,
        (1, 100, 1),
        "Search, steps a round",
        "Steps that every label's trigger takes in a round of the search.",
    )
    search_images: int = setting(
        32,
        (1, 4096, 1),
        "Search, images",
        "Clean images that a step of the search looks at.",
    )
    clear_lead: float = setting(
        0.6,
        (0, 20, 0.05),
        "Search, clear lead",
        "A label stands out if the next label's smallest trigger is larger by at least this, as the logarithm of the "
        "two sizes' ratio (nats): 0.7 means twice as large. Three times as much ends the search.",
        basic=True,
    )
