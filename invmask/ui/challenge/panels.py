"""The parts of the page Challenge: the rules, the network, the player's points, the rivals, and the class board."""

import html
from collections.abc import Callable, Sequence

import pandas as pd
import streamlit as st

from invmask.errors import UserError
from invmask.evidence.challenge import BUDGETS, score
from invmask.frames.channels import Channels, channel_name
from invmask.measure.metrics import Measures
from invmask.runs.store import board, owner
from invmask.runs.store.records import RunSummary
from invmask.ui.challenge import challenge_choice, measured
from invmask.ui.challenge.challenge_choice import NOTHING, ChallengeChoice
from invmask.ui.challenge.channel_buttons import channel_buttons
from invmask.ui.parts.samples import percent
from invmask.ui.shell import cache, steering
from invmask.ui.shell.names import count

LOOK_SECONDS = 3.0
SHADES = ("trigger", "synthesized", "conductance", "acc")
"""Quantities that help the player; the score and the gates are the rivals' own."""
_TITLES = {
    NOTHING: "Nothing",
    "trigger": "Change under the trigger",
    "synthesized": "Change under synthesized triggers",
    "conductance": "What reaches the target label",
    "acc": "What ACC loses without it",
}
NOT_YOURS = "Only the maker of the run clears its board; that of a run without a maker, whoever sits at the server."
_PROBLEM = "challenge/problem"


def shades(found: Channels) -> list[str]:
    """The quantities that are known of this network, the first one to be shown first."""
    known = [name for name in SHADES if measured.shading(found, name) is not None]
    return [*known, NOTHING]


def controls(choice: ChallengeChoice, known: list[str]) -> None:
    """Draw the choice of the budget and of the shading."""
    st.session_state["challenge-n"], st.session_state["challenge-shade"] = choice.budget, choice.shade
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.segmented_control(
            "Channels you may cut",
            BUDGETS,
            key="challenge-n",
            required=True,
            on_change=lambda: challenge_choice.set_budget(choice, st.session_state["challenge-n"]),
            help="The budget. All rivals cut as many.",
        )
        st.selectbox(
            "Shade channels by",
            known,
            key="challenge-shade",
            width=300,
            format_func=lambda name: _TITLES[name],
            on_change=lambda: challenge_choice.set_shade(st.session_state["challenge-shade"], known[0]),
            help="Darker means more. The page Neurons gathers more of this evidence, and explains it.",
        )
        st.button(
            "Restore all",
            icon=":material/restart_alt:",
            disabled=not choice.cut,
            on_click=challenge_choice.clear,
            help="Begin again with the whole network.",
        )


def network(choice: ChallengeChoice, found: Channels) -> None:
    """Draw all channels."""
    layers = found.layout.layers
    names = [channel_name(layers, channel) for channel in range(found.layout.channels)]
    channel_buttons(
        layers,
        names,
        choice.cut,
        measured.shading(found, choice.shade),
        len(choice.cut) >= choice.budget,
        lambda channel: challenge_choice.toggle(choice, channel),
        "challenge-network",
    )
    st.caption(
        "Each square is one channel, each row a layer. A click cuts it (×) or restores it; with the keyboard, Tab goes "
        "to a layer, the arrow keys to a channel, and Enter cuts."
    )


def points(choice: ChallengeChoice, original: Measures, now: Measures) -> None:
    """Draw the player's points and measures."""
    with st.container(key="two-a-row-points"):
        columns = st.columns(4)
    columns[0].metric(
        "Points",
        f"{score(original, now):.1f}",
        help="Percentage points of ASR that are gone, less three times the percentage points of ACC that are lost.",
    )
    for column, name, number in ((columns[1], "asr", now.n_triggered), (columns[2], "acc", now.n_clean)):
        before, after = getattr(original, name), getattr(now, name)
        column.metric(f"{name.upper()}, n = {count(number)}", percent(after), _change(before, after), delta_color="off")
    columns[3].metric("Channels cut", f"{len(choice.cut)} of {choice.budget}")


def _change(before: float | None, after: float | None) -> str | None:
    if before is None or after is None:
        return None
    # With a plain minus sign, from which Streamlit sees that its arrow has to point down.
    return f"{100 * (after - before):+.1f} points" if after != before else None


def rivals(run: RunSummary, round_taken: int, choice: ChallengeChoice, found: Channels) -> None:
    """Draw the rivals at the same budget, when the player asks for them."""
    st.subheader("Rivals", anchor=False, help="What others reach with as many channels, on the same images.")
    if not st.toggle("Show what they reach", key=f"challenge-rivals/{choice.budget}"):
        st.caption("Random channels, the ranked list, and the learned mask. Try it yourself first.")
        return
    with st.spinner("Measuring the rivals"):
        rows = measured.rivals(run.id, round_taken, found, choice.budget)
    table = [
        {
            "rival": row.title,
            "cuts": row.words,
            "points": round(row.score, 1),
            "ASR": "–" if row.measures is None else percent(row.measures.asr),
            "ACC": "–" if row.measures is None else percent(row.measures.acc),
        }
        for row in rows
    ]
    st.dataframe(pd.DataFrame(table), hide_index=True, key="challenge-rival-table")


def class_board(run: RunSummary, choice: ChallengeChoice, original: Measures, now: Measures) -> None:
    """Draw the form for a name, and the board, which follows the entries of others."""
    st.subheader("Class board", anchor=False, help="Everybody who opens this link on the same server sees this board.")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.text_input("Your name", key="challenge-name", max_chars=board.MOST_NAME, width=220)
        st.button(
            "Enter my cut",
            type="primary",
            icon=":material/leaderboard:",
            disabled=not choice.cut,
            on_click=_enter,
            args=(run.id, choice, original, now),
            help="Any name will do. The board shows your best cut at each budget.",
        )
    if (problem := st.session_state.pop(_PROBLEM, None)) is not None:
        st.error(problem)
    st.fragment(_board, run_every=LOOK_SECONDS)(run.id, choice.budget)


def _enter(run: str, choice: ChallengeChoice, original: Measures, now: Measures) -> None:
    assert now.asr is not None
    entry = board.Entry(
        st.session_state["challenge-name"], choice.budget, choice.cut, score(original, now), now.acc, now.asr
    )
    _guarded(lambda: board.add(cache.store().run(run), entry))


def _clear(run: str) -> None:
    def act() -> None:
        if not _may_clear(run):
            raise UserError(NOT_YOURS)
        board.clear(cache.store().run(run))

    _guarded(act)


def _guarded(act: Callable[[], None]) -> None:
    try:
        act()
    except UserError as error:
        st.session_state[_PROBLEM] = str(error)
    except OSError:
        st.session_state[_PROBLEM] = "The board cannot be written to; see whether there is room on the disk."


def _board(run: str, budget: int) -> None:
    found = board.best(board.entries(cache.store().run(run)), budget)
    if found:
        st.html(_board_html(found))
    else:
        st.caption(f"No entry yet with {budget} channels.")
    if _may_clear(run):
        with st.popover("Clear the board", icon=":material/delete:"):
            st.write("All entries at all budgets are removed, for everybody.")
            st.button("Clear it now", on_click=_clear, args=(run,))


def _may_clear(run: str) -> bool:
    """Whether the visitor may clear the board: the run's maker may; if it has none, whoever sits at the server."""
    if steering.refusal(run) is not None:
        return False
    if owner.owner_of(cache.store().folder / run) is not None:
        return True
    return _at_the_server()


def _at_the_server() -> bool:
    # Streamlit gives no address for the machine that serves.
    return st.context.ip_address is None


def _board_html(found: Sequence[board.Entry]) -> str:
    """The board as a table; the names are escaped, because people type them."""
    head = "".join(f"<th>{title}</th>" for title in ("Place", "Name", "Points", "ASR", "ACC", "Channels"))
    rows = "".join(
        f"<tr><td>{place}</td><td class='cb-name'>{html.escape(entry.name)}</td><td>{entry.score:.1f}</td>"
        f"<td>{percent(entry.asr)}</td><td>{percent(entry.acc)}</td><td>{len(entry.channels)}</td></tr>"
        for place, entry in enumerate(found, 1)
    )
    return f"<style>{_BOARD_STYLE}</style><table class='cb'><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


_BOARD_STYLE = """
.cb{width:100%;border-collapse:collapse;font-variant-numeric:tabular-nums}
.cb th,.cb td{text-align:right;padding:.25rem .5rem;
 border-bottom:1px solid color-mix(in srgb,currentColor 18%,transparent)}
.cb th:nth-child(2),.cb .cb-name{text-align:left;overflow-wrap:anywhere}
"""
