"""The reader's choices on the page Flip. All are in the address, so that a link shows the same page."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from invmask.masks.state import GATED, View
from invmask.measure.views import Fate
from invmask.runs.store.records import RunSummary
from invmask.ui.shell import address, widgets

Images = Literal["poisoned", "clean"]
MOST_PICKED = 12
PER_PAGE = 24

SHOWN: dict[str, Fate | None] = {
    "all": None,
    "changed": None,
    "recovered": Fate.RECOVERED,
    "still-fooled": Fate.STILL_FOOLED,
    "newly-wrong": Fate.NEWLY_WRONG,
    "otherwise-wrong": Fate.OTHERWISE_WRONG,
    "picked": None,
}
"""The filters by their name in the address. Fates are those under the pruned (or repaired) view."""


@dataclass(frozen=True)
class FlipChoice:
    """The page's choices.

    Attributes:
        view: the view whose answers are shown.
        images: the poisoned samples or the clean ones.
        show: the filter, one of `SHOWN`.
        round: the round whose masks are shown; None for the latest.
        picked: indices of picked samples, the last picked last.
        page: the page of the gallery, from 0.
        mask: the name of a mask made by hand; None for the learned one.
    """

    view: View
    images: Images
    show: str
    round: int | None
    picked: tuple[int, ...]
    page: int
    mask: str | None = None


def read(masks: Sequence[str], run: RunSummary, views: Sequence[View] = GATED) -> FlipChoice:
    """Read the choices from the address; missing or invalid ones get defaults.

    Args:
        masks: names of the run's masks made by hand.
        run: the chosen run.
        views: the views that it has.
    """
    return FlipChoice(
        view=View(address.choice("view", View.ORIGINAL, list(views))),
        images="clean" if address.choice("images", "poisoned", ["poisoned", "clean"]) == "clean" else "poisoned",
        show=address.choice("show", "all", list(SHOWN)),
        round=widgets.asked_round(run),
        picked=_picked(),
        page=(address.number("page", least=1) or 1) - 1,
        mask=address.mask("mask", "", masks) or None,
    )


def _picked() -> tuple[int, ...]:
    text = address.choice("pick", "")
    parts = text.split(",") if text else []
    known = [part for part in parts if address.is_number(part)][-MOST_PICKED:]
    if len(known) < len(parts):
        wrong = ",".join(part for part in parts if not address.is_number(part))
        why = "no numbers of samples" if wrong else f"more than {MOST_PICKED} samples"
        address.leave_out("pick", why, wrong or None, ",".join(known) or None)
    return tuple(dict.fromkeys(map(int, known)))


def among(choice: FlipChoice, samples: int, poisoned: bool) -> FlipChoice:
    """The choices, limited to existing samples and filters.

    Args:
        samples: number of samples.
        poisoned: whether the samples carry the trigger; without it no sample can be still fooled.
    """
    picked = tuple(place for place in choice.picked if place < samples)
    if picked != choice.picked:
        gone = ",".join(str(place) for place in choice.picked if place >= samples)
        address.leave_out("pick", f"samples are 0 to {samples - 1:,}", gone, ",".join(map(str, picked)) or None)
    show = choice.show
    if show == "still-fooled" and not poisoned:
        address.leave_out("show", "no trigger on clean images")
        show = "all"
    return replace(choice, picked=picked, show=show)


def set_view(view: str) -> None:
    """Choose another view."""
    address.choose("view", None if view == View.ORIGINAL else view)


def set_images(images: str) -> None:
    """Choose other images; picks and page are reset, because their indices would mean other images."""
    address.choose("images", None if images == "poisoned" else images)
    address.choose("pick", None)
    set_show("all")


def set_show(show: str) -> None:
    """Choose another filter, from its first page."""
    address.choose("show", None if show == "all" else show)
    set_page(0)


def set_mask(mask: str | None) -> None:
    """Choose a mask made by hand; None for the learned one."""
    address.choose("mask", mask)


def set_page(page: int) -> None:
    """Choose another page of the gallery, from 0."""
    address.choose("page", None if page == 0 else str(page + 1))


def toggle_pick(place: int) -> None:
    """Pick a sample for the detailed view; a second click on the shown sample unpicks it."""
    before = _picked()
    picked = [known for known in before if known != place]
    if place not in before or before[-1] != place:
        picked.append(place)
    address.choose("pick", ",".join(str(known) for known in picked[-MOST_PICKED:]) or None)


def chosen(show: str, fates: list[Fate], picked: tuple[int, ...], order: list[int]) -> list[int]:
    """Indices of the samples that pass the filter `show`, in `order`.

    Args:
        fates: fates of all samples under the pruned (or repaired) view.
        picked: indices of picked samples.
        order: all indices, see `frames.samples.by_turns`.
    """
    if show == "picked":
        return list(picked)
    if show == "changed":
        return [place for place in order if fates[place] not in (Fate.UNCHANGED, Fate.STILL_FOOLED)]
    wanted = SHOWN.get(show)
    return [place for place in order if wanted is None or fates[place] is wanted]
