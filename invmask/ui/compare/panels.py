"""The parts of Compare: the means of every defence as a table and as figures."""

from collections.abc import Sequence

import streamlit as st

from invmask.errors import UserError
from invmask.figures.comparison import MethodPoint, acc_against_asr, over_budgets
from invmask.glossary import GLOSSARY
from invmask.grids import comparison_texts
from invmask.grids.comparison import (
    LOW_IS_GOOD,
    MEASURES,
    Compared,
    Row,
    Spread,
    front,
    in_all,
    in_words,
    leading,
    means,
    method_title,
)
from invmask.ui.compare import missing_runs, on_victims
from invmask.ui.compare.compare_choice import MEASURE, CompareChoice, measure
from invmask.ui.shell import address
from invmask.ui.shell.names import count
from invmask.ui.shell.theme import chart, current_theme

LOOK_SECONDS = 2.0
MEANS_HELP = (
    "Means over all victims, SPC and seeds that every defence has finished, on all embedded test images; ± is one "
    "standard deviation over these cases. Defences see none of these images."
)


def go_to_opened() -> None:
    """Switch to Defend if a run was opened; a callback cannot switch pages itself."""
    if st.session_state.pop(on_victims.OPEN, False):
        st.switch_page("pages/defend.py")


def show(choice: CompareChoice) -> None:
    """Draw everything below the controls, again and again while runs are under way."""
    try:
        cases = missing_runs.cases_of(choice)
    except UserError as error:
        st.error(str(error))
        return
    working = any(case.under_way for case in cases)
    st.fragment(_draw, run_every=LOOK_SECONDS if working else None)(choice, working)


def _draw(choice: CompareChoice, polled: bool) -> None:
    if st.session_state.get(on_victims.OPEN):
        st.rerun()
    cases = missing_runs.cases_of(choice)
    if polled != any(case.under_way for case in cases):
        # Start or stop the periodic look.
        st.rerun()
    missing_runs.show(choice, cases)
    shared = in_all(cases)
    rows = means(shared)
    if not rows:
        st.info("No run is finished yet that can be compared. Start the missing ones, or choose others.")
        return
    _ranking(rows, shared)
    if len(choice.spcs) < 2:
        _scatter(rows)
    else:
        left, right = st.columns([1, 1], gap="large")
        with left:
            _scatter(rows)
        with right:
            _budgets(choice, shared)
    on_victims.show(choice, cases)


def _ranking(rows: Sequence[Row], shared: Sequence[Compared]) -> None:
    st.subheader("Means", anchor=False, help=MEANS_HELP)
    by = measure()
    st.session_state["compare-measure"] = by
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.segmented_control(
            "Rank by",
            list(MEASURES),
            key="compare-measure",
            required=True,
            format_func=MEASURES.__getitem__,
            on_change=lambda: address.choose(MEASURE, st.session_state["compare-measure"]),
            help="DER, the defence effectiveness rating, weighs the drop of ASR against that of ACC; 100 is best.",
        )
        _copies(rows)
    ranked = sorted(rows, key=lambda row: _rank(row, by))
    st.dataframe(
        [_line(row) for row in ranked],
        hide_index=True,
        column_config={name: st.column_config.TextColumn(name, help=_help(name)) for name in MEASURES.values()},
    )
    ahead, places = leading(rows, by), {case.place for case in shared}
    lowest = "lowest" if by in LOW_IS_GOOD else "highest"
    victims, spcs, seeds = (len({place[part] for place in places}) for part in range(3))
    st.caption(
        (f"{_listed([method_title(method) for method in ahead])} {'has' if len(ahead) == 1 else 'have'} the {lowest} "
         f"{MEASURES[by]}. " if ahead else "")
        + f"Per cent, over {count(len(places))} cases that all of them have finished: {_number(victims, 'victim')}, "
        f"{spcs} SPC, {_number(seeds, 'seed')}. Seconds are of the rounds alone."
    )  # fmt: skip


def _rank(row: Row, by: str) -> float:
    share = row.shares.get(by)
    if share is None:
        return float("inf")
    return share.mean if by in LOW_IS_GOOD else -share.mean


def _line(row: Row) -> dict[str, object]:
    heads = ["defence", *MEASURES.values(), "n", "seconds"]
    return dict(zip(heads, comparison_texts.cells(row, method_title(row.method)), strict=True))


def _help(title: str) -> str:
    return GLOSSARY[title.lower()].text


def _copies(rows: Sequence[Row]) -> None:
    def title(row: Row) -> str:
        return method_title(row.method)

    with st.popover("Copy", icon=":material/content_copy:", width="content"):
        st.caption("Markdown")
        st.code(comparison_texts.markdown(rows, title), language="markdown")
        st.caption("LaTeX")
        st.code(comparison_texts.latex(rows, title), language="latex")
        st.download_button(
            "CSV",
            comparison_texts.as_csv(rows),
            "comparison.csv",
            "text/csv",
            icon=":material/download:",
            on_click="ignore",
            help="Shares in [0, 1], with standard deviations.",
        )


def _scatter(rows: Sequence[Row]) -> None:
    st.subheader("ACC against ASR", anchor=False, help="Low and to the right is good.")
    shown = [row for row in rows if "asr" in row.shares]
    if not shown:
        st.caption("These victims have no known trigger, so there is no ASR.")
        return
    points = [
        MethodPoint(method_title(row.method), row.shares["acc"].mean, row.shares["asr"].mean, _hover(row))
        for row in shown
    ]
    ahead = front([(point.acc, point.asr) for point in points])
    original = _original([case for row in shown for case in row.cases])

    names = _listed([points[index].title for index in ahead])
    chart(
        acc_against_asr(points, ahead, original, current_theme()),
        "compare-scatter",
        f"Mean ACC and ASR; on the Pareto front: {names}",
        lambda: acc_against_asr(points, ahead, original, "paper"),
    )
    st.caption(f"On the front, in bold: {names}. No other has a higher ACC at an ASR as low.")


def _original(cases: Sequence[Compared]) -> tuple[float, float] | None:
    views = [case.run.result.views.original for case in cases if case.run is not None and case.run.result is not None]
    acc = Spread.of([view.acc for view in views])
    asr = Spread.of([view.asr for view in views if view.asr is not None])
    return None if acc is None or asr is None else (acc.mean, asr.mean)


def _hover(row: Row) -> str:
    shares = [f"{title} {in_words(row.shares.get(name))} %" for name, title in MEASURES.items()]
    return "<br>".join([method_title(row.method), *shares, f"n = {len(row.cases)}"])


def _budgets(choice: CompareChoice, shared: Sequence[Compared]) -> None:
    by = measure()
    st.subheader(f"{MEASURES[by]} against SPC", anchor=False)
    found = {}
    for method in dict.fromkeys(case.method for case in shared):
        own = [case for case in shared if case.method == method]
        rows = {spc: means([case for case in own if case.spec.spc == spc]) for spc in choice.spcs}
        line = {spc: of[0].shares[by].mean for spc, of in rows.items() if of and by in of[0].shares}
        if line:
            found[method_title(method)] = line
    if not found:
        st.caption(f"No finished case has {MEASURES[by]}.")
        return
    chart(
        over_budgets(found, MEASURES[by], current_theme()),
        "compare-budgets",
        f"Mean {MEASURES[by]} of each defence against SPC",
        lambda: over_budgets(found, MEASURES[by], "paper"),
    )


def _number(number: int, word: str) -> str:
    return f"{count(number)} {word}" + ("" if number == 1 else "s")


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
