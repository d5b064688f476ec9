"""Texts on screen about the families of triggers that a search knows. Nothing here needs torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class FamilyWords:
    """The texts of a family.

    Attributes:
        title: the family's name as used in a sentence, such as `patch`.
        measure: what its size measures.
        unit: the unit after a number of the size.
        digits: decimals of such a number.
    """

    title: str
    measure: str
    unit: str
    digits: int


FAMILY_WORDS = {
    "patch": FamilyWords("patch", "pixels covered", "px", 1),
    "smooth": FamilyWords("smooth change", "root mean square change of a pixel value", "/255", 1),
    "warp": FamilyWords("warp", "root mean square shift of a pixel", "px", 2),
    "channels": FamilyWords(
        "set of channels turned up", "how much worse clean images are answered when these channels are cut", "nats", 2
    ),
}
