"""IMS's search alone on a network, in all families of triggers and to the last round."""

import math
from typing import Any

from torch import Tensor

from invmask.data.budget import clean_budget
from invmask.data.registry import dataset_info
from invmask.defenses.base import Subject, drive
from invmask.defenses.ims.config import preset
from invmask.defenses.ims.search import Search
from invmask.defenses.ims.stepper import IMS
from invmask.defenses.inversion import Inversion
from invmask.machine import Precision
from invmask.masks.attach import sharing_copy
from invmask.models import Classifier

SPC, SEED, PRESET = 10, 0, "default"
NO_END = 20.0
"""Nats that no label is ahead by: so large a clear lead never ends a search early."""


def statistics(model: Classifier, dataset: str, precision: Precision) -> dict[str, Any]:
    """The results of the search of preset `default` on a network, as JSON values.

    Args:
        model: in eval mode, without gradients; left unchanged.
        dataset: the data set from which the clean budget is drawn, as for a run.
    """
    budget, info = clean_budget(dataset, SPC, SEED), dataset_info(dataset)
    subject = Subject(
        model=sharing_copy(model),
        images=budget.tensor(),
        num_classes=len(info.classes),
        precision=precision,
        mirrors=info.mirrors,
        labels=budget.label_tensor(),
    )
    config = preset(PRESET, seed=SEED, clear_lead=NO_END)
    defense = IMS(config)
    *_, (state, record) = drive(defense, subject, defense.init(subject), config.rounds_search)
    return {"preset": PRESET, "spc": SPC, "search_seed": SEED, "rounds": record.round, **as_json(state.search)}


def as_json(search: Search) -> dict[str, Any]:
    """Label, lead and family of the clearest family, as in a run's notes, and the results of each family."""
    families = {name: of_family(inversion) for name, inversion in search.inversions.items()}
    family = max(families, key=lambda name: families[name]["lead"])
    best = families[family]
    return {"label": best["label"], "lead": best["lead"], "family": family, "families": families}


def of_family(inversion: Inversion) -> dict[str, Any]:
    """The results of one family's triggers.

    `lead` is in nats, 0 if no label was reached. `smallest` and `second` are the two sizes that it compares, for the
    labels `label` and `next`. `sizes` has the size of each label's smallest trigger that led to it. `searched` has the
    labels that were searched to the end. Missing sizes are None.
    """
    first, second = inversion.order()[:2].tolist()
    runner_up = inversion.smallest_size[second]
    return {
        "label": first,
        "next": second,
        "lead": inversion.lead() or 0.0,
        "smallest": _finite(inversion.smallest_size[first]),
        "second": _finite(runner_up if runner_up.isfinite() else inversion.size[second]),
        "flips": _finite(inversion.flips[first]),
        "sizes": [_finite(size) for size in inversion.smallest_size],
        "searched": inversion.searched.tolist(),
    }


def _finite(value: Tensor) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None
