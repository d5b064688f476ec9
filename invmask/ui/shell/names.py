"""Titles of victims and runs on screen, and explanations of terms that all pages share."""

import re
from collections import Counter
from collections.abc import Sequence

from invmask.attacks.registry import ATTACKS
from invmask.attacks.training.poison_set import ALL_TO_ONE
from invmask.data.folders import FOLDER
from invmask.data.registry import dataset_info
from invmask.errors import UserError
from invmask.figures.measures import MEASURE_TITLES
from invmask.glossary import GLOSSARY
from invmask.models.registry import ARCHITECTURES, named_title, split_width
from invmask.victims.victim import USUAL_RATIO, VictimCard

_QUOTED = 40
_WIDTHS = {0.25: "quarter width", 0.5: "half width", 1.0: "", 2.0: "double width"}

MEASURE_HELP = {name: GLOSSARY[name].text for name in MEASURE_TITLES}


def attack_title(card: VictimCard) -> str:
    """`BadNets`, `Clean control`, or `Own model`, whose attack is unknown."""
    if card.is_control:
        return "Clean control"
    if card.is_unknown:
        return "Own model"
    return ATTACKS[card.attack].title if card.attack in ATTACKS else card.attack


def dataset_title(dataset: str) -> str:
    """`CIFAR-10` for `cifar10`, `pets` for `folder:pets@32`; an unknown name is returned unchanged."""
    try:
        return dataset_info(dataset).title
    except UserError:
        # A user's folder that is not on this machine, for example if only results were copied.
        return dataset.removeprefix(FOLDER).partition("@")[0]


def architecture_title(architecture: str) -> str:
    """`PreActResNet-18, quarter width` for `preactresnet18w16`."""
    name, width = split_width(architecture)
    if name not in ARCHITECTURES:
        return named_title(architecture)
    known = ARCHITECTURES[name]
    words = _WIDTHS.get((width or known.width) / known.width, f"width {width}")
    return f"{known.title}, {words}" if words else known.title


def variant_title(card: VictimCard) -> str:
    """`BadNets`, and what is unusual about the poisoning: `BadNets, 1 %, all-to-all`."""
    parts = [attack_title(card)]
    if card.targets is not None and card.poisoning_ratio is not None:
        parts += [f"{100 * card.poisoning_ratio:.3g}\u00a0%"] if card.poisoning_ratio != USUAL_RATIO else []
        parts += [card.labels] if card.labels != ALL_TO_ONE else []
        parts += [f"target {target_title(card)}"] if card.target_label else []
    return ", ".join(parts)


def victim_title(card: VictimCard) -> str:
    """The full title: `CIFAR-10 · PreActResNet-18, quarter width · BadNets`."""
    return f"{dataset_title(card.dataset)} · {architecture_title(card.architecture)} · {variant_title(card)}"


def victim_label(card: VictimCard, among: Sequence[VictimCard]) -> str:
    """A short and unique title for a chooser: `SIG · PreActResNet-18`, or `BadNets · Fashion-MNIST`.

    For the data set that most victims share, the network is named; for other data sets, the data set. Both, and the
    network's width, are named only if needed. Victims that are equal in all of this are called by their own names.
    """
    usual = Counter(other.dataset for other in among).most_common(1)[0][0]

    def forms(of: VictimCard) -> list[str]:
        # Without the explanation in a title such as `IAB (input-aware)`, because there is no room for it.
        kind, dataset = re.sub(r" \(.*?\)", "", variant_title(of)), dataset_title(of.dataset)
        short, full = (architecture_title(name) for name in (split_width(of.architecture)[0], of.architecture))
        if of.dataset == usual:
            return [f"{kind} · {short}", f"{kind} · {full}"]
        return [f"{kind} · {dataset}", f"{kind} · {dataset} · {short}", f"{kind} · {dataset} · {full}"]

    for form in forms(card):
        if sum(form in forms(other) for other in among) < 2:
            return form
    # A browser identifies options by their titles, so no two titles may be equal.
    return f"{variant_title(card)} · {card.name}"


def target_title(card: VictimCard) -> str | None:
    """The target label's class name, `the next class` for all-to-all; None without a known trigger."""
    if card.targets is None:
        return None
    label = card.targets.label
    return "the next class" if label is None else card.dataset_info.classes[label]


def plain(text: str) -> str:
    """Escape a user's text, so that Markdown shows it unchanged."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", text)


def count(number: int) -> str:
    """`10,000`."""
    return f"{number:,}"


def quoted(text: str) -> str:
    """A user's text for use in a sentence: at most 40 letters, escaped for Markdown."""
    text = " ".join(text.replace("`", "'").split())
    return f"`{text[:_QUOTED]}…`" if len(text) > _QUOTED else f"`{text}`"
