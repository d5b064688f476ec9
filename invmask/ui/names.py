"""How victims and runs are called on screen, and the words that every page explains in the same way."""

import re
from collections.abc import Sequence

from invmask.attacks.poison import ALL_TO_ONE
from invmask.attacks.registry import ATTACKS
from invmask.attacks.victims import CLEAN, USUAL_RATIO, VictimCard
from invmask.data.images import DATASETS

_ARCHITECTURES = {"preactresnet18": ("PreActResNet-18", 64)}
_WIDTHS = {0.25: "quarter width", 0.5: "half width", 1.0: "", 2.0: "double width"}

MEASURE_TITLES = {"acc": "ACC, clean accuracy", "asr": "ASR, attack success rate", "ra": "RA, recovery accuracy"}
MEASURE_HELP = {
    "acc": "Share of clean test images that are answered with their true class.",
    "asr": "Share of triggered test images, taken from all classes but the target, "
    "that are answered with the target label (all-to-all: of all images, with the next class).",
    "ra": "Share of the same triggered images that are answered with their true class all the same.",
}


def attack_title(card: VictimCard) -> str:
    """`BadNets`, or `Clean control`."""
    if card.attack == CLEAN:
        return "Clean control"
    return ATTACKS[card.attack].title if card.attack in ATTACKS else card.attack


def dataset_title(card: VictimCard) -> str:
    """`CIFAR-10`."""
    return DATASETS[card.dataset].title if card.dataset in DATASETS else card.dataset


def architecture_title(architecture: str) -> str:
    """`PreActResNet-18, quarter width` for `preactresnet18w16`."""
    match = re.fullmatch(r"([a-z0-9_]+?)(?:w(\d+))?", architecture)
    if match is None or match[1] not in _ARCHITECTURES:
        return architecture
    title, standard = _ARCHITECTURES[match[1]]
    width = int(match[2]) if match[2] else standard
    words = _WIDTHS.get(width / standard, f"width {width}")
    return f"{title}, {words}" if words else title


def variant_title(card: VictimCard) -> str:
    """`BadNets`, and after it what is unusual about how it was poisoned: `BadNets, 1 %, all-to-all`."""
    parts = [attack_title(card)]
    if card.attack != CLEAN:
        parts += [f"{100 * card.poisoning_ratio:.3g}\u00a0%"] if card.poisoning_ratio != USUAL_RATIO else []
        parts += [card.labels] if card.labels != ALL_TO_ONE else []
        parts += [f"target {target_title(card)}"] if card.target_label else []
    return ", ".join(parts)


def victim_title(card: VictimCard) -> str:
    """In full: `CIFAR-10 · PreActResNet-18, quarter width · BadNets`."""
    return f"{dataset_title(card)} · {architecture_title(card.architecture)} · {variant_title(card)}"


def victim_label(card: VictimCard, among: Sequence[VictimCard]) -> str:
    """Short enough for a chooser, told apart from the others: the attack first, the architecture only if needed."""
    label = f"{variant_title(card)} · {dataset_title(card)}"
    alike = [other for other in among if f"{variant_title(other)} · {dataset_title(other)}" == label]
    return f"{label} · {architecture_title(card.architecture)}" if len(alike) > 1 else label


def target_title(card: VictimCard) -> str | None:
    """The target label's class name, `the next class` for all-to-all; None for a clean control."""
    if card.targets is None:
        return None
    label = card.targets.label
    return "the next class" if label is None else card.dataset_info.classes[label]


def count(number: int) -> str:
    """`10,000`."""
    return f"{number:,}"
