"""The sample of Flip and the channel of Neurons that figures show: picked on those pages, or chosen here."""

import streamlit as st

from invmask.data.budget import probe
from invmask.frames.channels import channel_name
from invmask.frames.run_records import CLEAN_SAMPLE, Picks
from invmask.runs.store.run import Run
from invmask.ui.shell import address, cache

PAGE = "Export"
_SAMPLE, _CHANNEL, _DRAW = "sample", "channel", "draw"


def keep_sample(place: int | None, clean: bool) -> None:
    """Tell Export which sample is picked on Flip; None keeps the previous one."""
    if place is not None:
        address.choose(_SAMPLE, f"{CLEAN_SAMPLE if clean else ''}{place}", PAGE)


def keep_channel(channel: str | None, draw: int) -> None:
    """Tell Export which channel's page is open on Neurons (None: the overview), and which images it shows."""
    if channel is not None:
        address.choose(_CHANNEL, channel, PAGE)
        address.choose(_DRAW, str(draw) if draw else None, PAGE)


def choose_picks(run: Run) -> Picks:
    """Draw two select boxes, whose values are in the address; returns the choices."""
    left, right = st.columns(2)
    with left:
        sample = _box(
            _SAMPLE,
            "Sample in the figures of Flip",
            {"": "By rule: the first recovered", **_samples(run)},
            "What you picked last on Flip, by its number there; by rule, the first that the pruned view recovers.",
        )
    with right:
        channel = _box(
            _CHANNEL,
            "Channel in the figures of Neurons",
            {"": "By rule: highest score", **_channels(run)},
            "The channel whose page you opened last on Neurons. Type a part of its name to find it.",
        )
    return Picks(sample or None, channel or None, address.number(_DRAW) or 0)


def _box(name: str, label: str, titles: dict[str, str], words: str) -> str:
    key = f"export/{name}"
    st.session_state[key] = address.choice(name, "", list(titles))
    return st.selectbox(
        label,
        list(titles),
        key=key,
        format_func=titles.__getitem__,
        on_change=lambda: address.choose(name, st.session_state[key] or None),
        help=words,
    )


def _samples(run: Run) -> dict[str, str]:
    spec = run.spec()
    card = cache.victim(spec.victim).card
    labels, classes = probe(card.dataset, spec.probe_per_class).labels.tolist(), card.dataset_info.classes
    if card.targets is None:
        return {str(place): f"{place}, {classes[label]}" for place, label in enumerate(labels)}
    others = [label for label in labels if card.target_of(label) != label]
    titles = {str(place): f"{place}, {classes[label]}, triggered" for place, label in enumerate(others)}
    return titles | {
        f"{CLEAN_SAMPLE}{place}": f"{place}, {classes[label]}, clean" for place, label in enumerate(labels)
    }


def _channels(run: Run) -> dict[str, str]:
    layout = run.layout()
    if layout is None:
        return {}
    names = (channel_name(layout.layers, channel) for channel in range(layout.channels))
    return {name: name for name in names}
