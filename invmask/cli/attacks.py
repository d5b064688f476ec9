"""`attacks`: the attacks that victims can be trained with."""

from typing import Any

from invmask.attacks.base import TrainedAttack
from invmask.attacks.registry import ATTACKS, make_attack
from invmask.attacks.training.poison_batches import LoopAttack
from invmask.cli.tables import print_json, print_table


def show_all(as_json: bool) -> int:
    """Print every attack."""
    found = [describe(name) for name in ATTACKS]
    if as_json:
        print_json(found)
        return 0
    rows = [
        [of["name"], of["title"], of["trigger"], of["poisons"], ", ".join(of["labels"]), _short(of["source"])]
        for of in found
    ]
    print_table(["attack", "title", "trigger", "poisons", "labels", "paper"], rows)
    return 0


def describe(name: str) -> dict[str, Any]:
    """What is known of an attack before it is used, as JSON values."""
    attack = make_attack(name)
    paper = attack.paper
    source = None if paper is None else {**vars(paper), "url": paper.url}
    return {
        "name": name,
        "title": attack.title,
        "explanation": attack.explanation,
        "source": source,
        "settings": attack.settings(),
        # The trigger follows from the settings, or networks make it that are trained and stored with the victim.
        "trigger": "trained" if isinstance(attack, TrainedAttack) else "static",
        "poisons": "each batch" if isinstance(attack, LoopAttack) else "training set",
        "labels": list(attack.labellings),
    }


def _short(source: dict[str, Any] | None) -> str:
    return "-" if source is None else f"{source['authors'].split(',')[0]} et al. {source['year']}, {source['url']}"
