"""What all sessions of one server share: victims, images, and the executor.

A cached model is shared by all sessions: never put a hook on it; take a `masks.attach.sharing_copy` for every use.
"""

import contextlib
from pathlib import Path
from threading import Thread

import streamlit as st

from invmask import settings
from invmask.data.embedded import drawn_files, load_embedded, stamp
from invmask.data.images import LabelledImages
from invmask.defenses import registry
from invmask.errors import UserError
from invmask.masks.state import MaskLayout
from invmask.memory import MIB
from invmask.runs.cluster.executor import Executor
from invmask.runs.store import built_in, staleness
from invmask.runs.store.all_runs import Listing, RunStore
from invmask.runs.store.pruner import Pruner
from invmask.runs.store.pruning import Keep
from invmask.runs.store.records import RunSummary
from invmask.runs.store.run import RunDamagedError
from invmask.runs.work.bench import spec_of
from invmask.ui.shell import shared_results
from invmask.victims.victim import USUAL, Victim, VictimCard, find_cards, load_victim, read_card

VICTIM_BYTES = 256 * MIB
"""Bound of the cache of loaded victims: five ResNet-18 of full width."""
FIRST_SPC = 10
"""What Defend offers first."""


def victim_cards() -> dict[str, VictimCard]:
    """The cards of all victims on this machine by name; those of the usual network and data set come first.

    For each network and data set, BadNets comes first, as the simplest attack, and clean controls last. Victims are
    left out if their card is damaged, or if their data set is missing or now has fewer classes, because no page could
    show them.
    """
    found = find_cards(settings.victim_folders())
    cards = {}
    for name, path in found.items():
        try:
            card = _card(str(path), path.stat().st_mtime_ns)
            if card.target_label is None or card.target_label < len(card.dataset_info.classes):
                cards[name] = card
        except (UserError, OSError):
            continue
    order = {"badnets": 0, "clean": 2}

    def place(card: VictimCard) -> tuple[bool, int, str]:
        return (card.dataset, card.architecture) != USUAL, order.get(card.attack, 1), card.name

    return dict(sorted(cards.items(), key=lambda item: place(item[1])))


def victim(name: str) -> Victim:
    """Load a victim by name, once for all sessions, in eval mode on the CPU.

    Raises:
        UserError: no victim of that name, or damaged weights.
    """
    return _victim(name, victim_stamp(name))


def victim_stamp(name: str) -> int:
    """A value that changes when the victim is trained again or its data set's images are drawn again; 0 without one.

    Caches of the victim's answers use it as a key.
    """
    path = find_cards(settings.victim_folders()).get(name)
    if path is None:
        return 0
    changed = path.stat().st_mtime_ns
    return hash((str(path), changed, *map(stamp, drawn_files(_card(str(path), changed).dataset))))


def test_images(dataset: str) -> LabelledImages:
    """The embedded test images of a data set, loaded once."""
    return load_embedded(dataset, "test").images


def store() -> RunStore:
    """The runs of this machine's home."""
    return RunStore(settings.runs_folder())


def built_in_runs(wait: bool) -> None:
    """Have the runs that come with invmask in this machine's home, once a server.

    They are unpacked beside whatever else happens; with `wait`, they are there when this returns.
    """
    if settings.built_in_runs():
        unpacking = _built_in_runs(str(settings.runs_folder()))
        if wait:
            unpacking.join()


def executor() -> Executor:
    """The server's only executor, started on first use."""
    return _executor(str(settings.runs_folder()))


def warm_up(victim: str | None) -> None:
    """Start the workers, and let one load `victim`, of which a run may be requested soon. Once a victim."""
    carrier = executor()
    if victim is not None:
        _warm_up(carrier, str(settings.runs_folder()), victim)


def listing() -> Listing:
    """The summaries of all runs, at most a second old; read once for sessions that ask at the same time."""
    return _listing(str(settings.runs_folder()))


def forget_listing() -> None:
    """Make the next `listing` read again, after a run was begun, named or deleted."""
    _listing.clear()


def summary(run: str) -> RunSummary:
    """The present summary of one run.

    Raises:
        UserError: no such run, or it is damaged.
    """
    return store().run(run).summary()


def run_victim(run: str) -> str | None:
    """The name of a run's victim; None if there is no such run, or it cannot be read."""
    try:
        return store().run(run).spec().victim
    except UserError:
        return None


def is_damaged(run: str) -> bool:
    """Whether the run exists but its specification cannot be read."""
    try:
        store().run(run).spec()
    except RunDamagedError:
        return True
    except UserError:
        return False
    return False


def another_victim(run: str) -> str | None:
    """See `staleness.another_victim`; None for a damaged run, which its page reports."""
    try:
        return staleness.another_victim(store().run(run))
    except UserError:
        return None


def fits_victim(run: str) -> bool:
    """Whether the network that now has the victim's name has the same layers, images and classes as in the run."""
    try:
        found = store().run(run)
        shapes, today = found.shapes(), victim(found.spec().victim)
        layout, image = found.layout(), load_embedded(today.card.dataset, "test").images.pixels.shape[1:]
    except (UserError, OSError):
        return False
    assert shapes is not None
    channels, *size = shapes.image
    alike = shapes.classes == len(today.card.dataset_info.classes) and (*size, channels) == image
    return alike and layout == MaskLayout.of(today.model)


@st.cache_resource(show_spinner=False)
def _built_in_runs(folder: str) -> Thread:
    unpacking = Thread(target=built_in.add_built_in, args=(Path(folder),), name="built-in runs")
    unpacking.start()
    return unpacking


@st.cache_resource(show_spinner=False)
def _executor(folder: str) -> Executor:
    keep = Keep(settings.keep_days(), settings.keep_bytes())
    if keep != Keep():
        Pruner(RunStore(Path(folder)), keep).start()
    return Executor(RunStore(Path(folder))).start()


@st.cache_resource(show_spinner=False)
def _warm_up(_carrier: Executor, folder: str, victim: str) -> None:  # noqa: ARG001  (of another folder, another carrier)
    with contextlib.suppress(UserError):
        _carrier.prepare(spec_of(victim, registry.entry(registry.DEFAULT).first_preset, FIRST_SPC, seed=0))


# Not with st.cache_data, which would copy the whole list for every caller.
@st.cache_resource(ttl=1.0, max_entries=4, show_spinner=False)
def _listing(folder: str) -> Listing:
    return RunStore(Path(folder)).listing()


@st.cache_data(max_entries=64, show_spinner=False)
def _card(path: str, stamp: int) -> VictimCard:  # noqa: ARG001  (the stamp tells a changed file from a known one)
    return read_card(Path(path))


@shared_results.shared(VICTIM_BYTES, spinner="Loading the victim", latest_stays=True)
def _victim(name: str, stamp: int) -> Victim:  # noqa: ARG001  (the stamp tells a changed file from a known one)
    return load_victim(name, settings.victim_folders())
