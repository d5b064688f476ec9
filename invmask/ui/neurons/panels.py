"""The overview of Neurons: the linked map and table of all channels, and how reliable their numbers are."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from invmask.figures.network_map import network_map
from invmask.frames.channels import OF_THE_MASKS, Channels, channel_name
from invmask.runs.store.records import RunSummary
from invmask.ui.neurons import channel_data, neurons_choice
from invmask.ui.neurons.channel_data import HIGH_SCORE
from invmask.ui.neurons.neurons_choice import Decided, NeuronsChoice
from invmask.ui.shell import address
from invmask.ui.shell.names import count, plain
from invmask.ui.shell.run_menu import run_title
from invmask.ui.shell.theme import chart, current_theme
from invmask.victims.victim import VictimCard

TABLE_HEIGHT = 570
MAP_WIDTH, TABLE_WIDTH = 472, 542
_WIDTHS = {"conductance": 50, "asr": 50, "acc": 50}
"""Widths of some columns, so that all evidence is visible if map and table are side by side."""
_MAP, _DRAWN = "neurons-map", "neurons-table-drawn"
COLUMN_TITLES = {
    "selection": "1 − s",
    "pruned": "m",
    "inverse": "m\u0304",
    "trigger": "Trig.",
    "synthesized": "Syn.",
    "conductance": "Cond.",
    "asr": "ΔASR",
    "acc": "ΔACC",
}
MAP_HELP = (
    "Each square is a channel; a layer takes one row or more. Click a square to open its page. **Score**: turned up "
    "instead of cut, the cut channels draw clean images to one label; the score says how much this channel adds to "
    "that. It is 0 for a channel that is not cut. Score, **selection** and **gates** are what the run believes. "
    "**Change under synthesized triggers**: how the activation changes with the triggers that this run made. "
    "**Everything else is evidence independent of the run**: the change of the activation between clean and "
    "triggered versions of the same images; the conductance toward the target label; ACC and ASR with this channel "
    "alone cut."
)


def overview(
    card: VictimCard,
    run: RunSummary,
    round_taken: int,
    found: Channels,
    choice: NeuronsChoice,
    by_hand: Decided,
    cut: Collection[int],
) -> None:
    """Map and table side by side.

    Args:
        cut: the channels that are cut now, by hand or not.
    """
    st.subheader("All channels", anchor=False, help=MAP_HELP)
    # The map has a fixed width, because its squares have one. Without room beside it, the table is below.
    with st.container(horizontal=True, gap="small"):
        left, right = st.container(width=MAP_WIDTH), st.container(width=TABLE_WIDTH)
    with right:
        picked = _table(run, round_taken, found, cut)
    with left:
        _colour(found, choice)
        _map(found, choice.colour, picked, cut, by_hand)
    st.caption(_counts(card, run, found))


def _colour(found: Channels, choice: NeuronsChoice) -> None:
    # A key for each choice and number of colours, which grows with the evidence, and the choice as the first value: a
    # browser that has just drawn the field reports that.
    options = list(found.values)
    key = f"neurons-colour/{choice.colour}/{len(options)}"
    st.selectbox(
        "Colour",
        options,
        index=options.index(choice.colour),
        key=key,
        format_func=lambda name: found.values[name].title,
        on_change=lambda: address.choose("colour", st.session_state[key]),
    )


def _map(found: Channels, colour: str, picked: Sequence[int], cut: Collection[int], by_hand: Decided) -> None:
    layers = found.layout.layers
    figure = network_map(
        layers, found.values[colour], current_theme(), picked, cut=sorted(cut), restored=by_hand.restored
    )

    def clicked() -> None:
        points = st.session_state[_MAP]["selection"]["points"]
        if points and points[0]["curve_number"] == 0:
            neurons_choice.set_channel(channel_name(layers, int(points[0]["point_index"])))

    shown = found.values[colour]
    chart(
        figure,
        key=_MAP,
        on_select=clicked,
        selection_mode="points",
        alt=f"Every channel of the network by layer, coloured by {shown.title}",
    )
    st.caption(f"{shown.title}{f', {shown.sample}' if shown.sample else ''}. A cross: the channel is cut now.")


def _table(run: RunSummary, round_taken: int, found: Channels, cut: Collection[int]) -> list[int]:
    """Draw the ranked table and the actions for its rows; returns the channels picked in it."""
    names = [channel_name(found.layout.layers, c) for c in range(found.layout.channels)]
    order = found.order
    wanted = st.text_input(
        "Find channels",
        key="neurons-find",
        placeholder=names[-1].rpartition(":")[0],
        persist_state="session",
        help=f"Part of a channel's name: its layer, or layer and number as in {names[-1]}.",
    )
    shown = [channel for channel in order if wanted.strip().lower() in names[channel].lower()]
    frame = _frame(found, names, order, shown, cut)
    # Rows are identified by position, so another choice or order of rows needs a new table.
    key = f"neurons-table/{run.id}/{round_taken}/{wanted}"
    event = st.dataframe(
        frame,
        key=key,
        selection_default={"selection": {"rows": _carried_over(key, run.id, shown)}},
        height=TABLE_HEIGHT,
        hide_index=True,
        on_select="rerun",
        selection_mode="multi-row",
        column_config=_columns(found),
        column_order=_in_order(frame),
        placeholder="–",
    )
    rows = event["selection"]["rows"]
    picked = [shown[row] for row in rows if row < len(shown)]
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        one = neurons_choice.set_channel
        st.button(
            "Open",
            icon=":material/open_in_new:",
            on_click=one,
            args=(names[picked[0]] if picked else None,),
            disabled=len(picked) != 1,
            help="The page of the channel picked in the table.",
        )
        whole = [channel for channel in picked if channel not in cut]
        st.button(
            "Cut",
            icon=":material/content_cut:",
            on_click=neurons_choice.act,
            args=(whole,),
            disabled=not whole,
            help="Cut the picked channels in the pruned view, on top of what is cut already.",
        )
        st.button(
            "Restore",
            icon=":material/healing:",
            on_click=neurons_choice.act,
            args=(picked, True),
            disabled=not picked,
            help="Let the picked channels pass as in the original network.",
        )
        st.caption(_picked_words([names[channel] for channel in picked], len(picked) - len(whole)), width="stretch")
    return picked


def _picked_words(names: Sequence[str], cut: int) -> str:
    """The number of picked rows, and how many of them are cut, in words."""
    if not names:
        return "Pick rows to open, cut or restore channels."
    if len(names) == 1:
        return f"{names[0]}{' is cut already' if cut else ''}"
    already = "all are cut already" if cut == len(names) else f"{cut} of them cut already" if cut else "none is cut yet"
    return f"{count(len(names))} picked, {already}"


@dataclass(frozen=True)
class _Drawn:
    """A drawn table: its run, its key, the channels in its rows, and the rows picked initially."""

    run: str
    key: str
    shown: list[int]
    rows: list[int]


def _carried_over(key: str, run: str, shown: list[int]) -> list[int]:
    """The rows of the channels that were picked in the run's previous table, which had other rows or another order.

    While a run is under way, there is a new table every second, and a pick must not be lost with the old table.
    """
    before: _Drawn | None = st.session_state.get(_DRAWN)
    rows: list[int] = []
    if before is not None and before.run == run:
        if before.key == key:
            rows = before.rows
        else:
            event = st.session_state.get(before.key)
            old = event["selection"]["rows"] if event else []
            picked = {before.shown[row] for row in old if row < len(before.shown)}
            rows = [row for row, channel in enumerate(shown) if channel in picked]
    st.session_state[_DRAWN] = _Drawn(run, key, shown, rows)
    return rows


def _frame(
    found: Channels, names: Sequence[str], order: Sequence[int], shown: Sequence[int], cut: Collection[int]
) -> pd.DataFrame:
    rank = np.empty(len(order), np.int64)
    rank[list(order)] = np.arange(1, len(order) + 1)
    columns: dict[str, object] = {"rank": rank[list(shown)], "channel": [names[channel] for channel in shown]}
    columns["now"] = ["cut" if channel in cut else "" for channel in shown]
    columns |= {name: values.values[list(shown)].astype(np.float64) for name, values in found.values.items()}
    return pd.DataFrame(columns)


def _in_order(frame: pd.DataFrame) -> list[str]:
    """Column order with evidence first, because the map also shows the masks."""
    return sorted(frame, key=lambda name: name in OF_THE_MASKS)


def _columns(found: Channels) -> dict[str, Any]:
    config: dict[str, Any] = {
        "rank": st.column_config.NumberColumn("#", width=36, help="Place by score; equal scores in layer order."),
        "channel": st.column_config.TextColumn("Channel", width=128),
        "now": st.column_config.TextColumn("Now", width=42, help="Whether the channel is cut now, by hand or not."),
        "score": st.column_config.NumberColumn("Score", format="%.2f", width=48),
    }
    for name, values in found.values.items():
        if name not in config:
            config[name] = st.column_config.NumberColumn(
                COLUMN_TITLES[name],
                format=f"%.{values.digits}f",
                width=_WIDTHS.get(name, 46),
                help=f"{values.title}{f' ({values.sample})' if values.sample else ''}",
            )
    return config


def _counts(card: VictimCard, run: RunSummary, found: Channels) -> str:
    """How high the scores are, compared with those of a network without a backdoor."""
    scores = found.scores
    high, total = int((scores > HIGH_SCORE).sum()), len(scores)
    here = f"{count(high)} of {count(total)} channels score above {HIGH_SCORE}, the highest {scores.max():.2f}"
    if card.is_unknown:
        return f"{here}. A score says what the defence would cut, and by itself it is no sign of a backdoor."
    if card.targets is None:
        return (
            f"{here}. This is what a network without a backdoor gets: a score says what the defence would cut, "
            "and by itself it is no sign of a backdoor."
        )
    control = channel_data.control_scores(card, run)
    if control is None:
        if not channel_data.has_control(card):
            return f"{here}."
        return f"{here}. Defend the clean control, too, to see what scores a network without a backdoor gets."
    whose = f"the clean control ({plain(run_title(control.run))})"
    return (
        f"{here}. On {whose} {count(control.high)} of {count(control.channels)} do, the highest "
        f"{control.highest:.2f}: a high score alone is no sign of a backdoor."
    )
