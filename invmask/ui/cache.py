"""What all sessions of one server share: victims, images, and the carrier of the work.

A cached model is everybody's: never put a hook on it; take a `masks.attach.sharing_copy` for every use.
"""

from pathlib import Path

import streamlit as st

from invmask import settings
from invmask.attacks.victims import Victim, VictimCard, find_cards, load_victim, read_card
from invmask.data.embedded import load_embedded
from invmask.data.images import LabelledImages
from invmask.errors import UserError
from invmask.runs import store
from invmask.runs.executor import Executor


def victim_cards() -> dict[str, VictimCard]:
    """The cards of all victims on this machine by name; BadNets first, as the plainest, and clean controls last."""
    found = find_cards(settings.victim_folders())
    cards = {}
    for name, path in found.items():
        try:
            cards[name] = _card(str(path), path.stat().st_mtime_ns)
        except (UserError, OSError):
            continue
    order = {"badnets": 0, "clean": 2}
    return dict(sorted(cards.items(), key=lambda item: (order.get(item[1].attack, 1), item[0])))


def victim(name: str) -> Victim:
    """A victim by name, loaded once for all sessions, in eval mode on the CPU.

    Raises:
        UserError: no victim of that name, or damaged weights.
    """
    path = find_cards(settings.victim_folders()).get(name)
    stamp = path.stat().st_mtime_ns if path is not None else 0
    return _victim(name, str(path), stamp)


def test_images(dataset: str) -> LabelledImages:
    """The embedded test images of a data set, loaded once."""
    return load_embedded(dataset, "test").images


def run_victim(run: str) -> str | None:
    """The name of the victim that a run is about; None where there is no such run."""
    try:
        return store.read_spec(run).victim
    except UserError:
        return None


@st.cache_resource(show_spinner=False)
def executor() -> Executor:
    """The one carrier of the work in this server; its worker processes start with its first unit of work."""
    return Executor()


@st.cache_data(max_entries=64, show_spinner=False)
def _card(path: str, stamp: int) -> VictimCard:  # noqa: ARG001  (the stamp tells a changed file from a known one)
    return read_card(Path(path))


@st.cache_resource(max_entries=8, show_spinner="Loading the victim")
def _victim(name: str, path: str, stamp: int) -> Victim:  # noqa: ARG001  (path and stamp tell a changed file)
    return load_victim(name, settings.victim_folders())
