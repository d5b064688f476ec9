"""How a model differs from the networks that the verdict was learned and tested on, in sentences.

`tests/unit/test_zoo.py` compares these numbers with the zoo's networks (`benchmarks/zoo_entries.py`).
"""

from torch import nn

from invmask.defenses.verdict import regression
from invmask.models import is_transformer
from invmask.victims.victim import VictimCard

SIDES = (28, 32)
CLASSES = (10, 43)
PARAMETERS = (6_305, 100_969)
LEARNED_ON = (
    f"The verdict was learned on small networks of convolutions with at most {PARAMETERS[1]:,} parameters, which were "
    f"trained by us on images of {SIDES[0]} or {SIDES[1]} pixels in {CLASSES[0]} or {CLASSES[1]} classes."
)


def unlike(card: VictimCard, model: nn.Module, images: int, spc: int) -> tuple[str, ...]:
    """What is unlike all networks and searches behind the verdict; empty if nothing is.

    Args:
        images: number of clean images in the search.
        spc: its clean images per class, at most.
    """
    info, usual = card.dataset_info, regression().spc
    _, height, width = info.shape
    parameters = sum(parameter.numel() for parameter in model.parameters())
    classes = len(info.classes)
    found = []
    if parameters > PARAMETERS[1]:
        found.append(f"the network has {parameters:,} parameters")
    if is_transformer(card.architecture):
        found.append("the network is a transformer")
    if {height, width} - set(SIDES):
        found.append(f"the images have {height} x {width} pixels")
    if not CLASSES[0] <= classes <= CLASSES[1]:
        found.append(f"there are {classes:,} classes")
    if spc != usual or images < usual * classes:
        found.append(f"the search had {images:,} clean images, not {usual} of each class")
    if not info.labelled:
        found.append("the images' true classes are not known")
    return tuple(found)


def warning(found: tuple[str, ...]) -> str | None:
    """One warning for `unlike`; None if there is nothing to warn of."""
    if not found:
        return None
    listed = found[0] if len(found) == 1 else f"{', '.join(found[:-1])} and {found[-1]}"
    return (
        f"This model is unlike those that the verdict's error rates come from: {listed}. {LEARNED_ON} Take the verdict "
        "as a hint, and look at the synthesized triggers yourself."
    )
