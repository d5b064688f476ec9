"""Defences beside each other: which runs count, means, the Pareto front, and the table as text."""

import itertools
from dataclasses import replace
from typing import Any

import pytest

from invmask.defenses.ims.config import preset
from invmask.errors import UserError
from invmask.figures.comparison import MatrixCell, MethodPoint, acc_against_asr, measure_matrix, over_budgets
from invmask.grids import comparison_texts
from invmask.grids.comparison import (
    Compared,
    Row,
    Spread,
    compared,
    front,
    in_all,
    in_words,
    leading,
    means,
    seconds_left,
    specs_of,
)
from invmask.measure.metrics import Measures
from invmask.runs.store.records import RunResult, RunState, RunSummary, Views
from invmask.runs.store.spec import RunSpec
from invmask.victims.victim import VictimCard

ORIGINAL = Measures(0.9, 1.0, 0.0, 100, 90)


def spec(victim: str = "one", name: str = "default", spc: int = 10, seed: int = 0, **changes: object) -> RunSpec:
    return replace(RunSpec(victim, name, spc, seed, preset(name, seed=seed)), **changes)


def run(of: RunSpec, acc: float = 0.8, asr: float = 0.1, seconds: float = 4.0, state: RunState = RunState.FINISHED):
    views = Views(ORIGINAL, pruned=Measures(acc, asr, 0.7, 100, 90))
    result = RunResult("done", True, 3, {}, seconds, {}, {}, views) if state is RunState.FINISHED else None
    return RunSummary(f"run-{of.victim}-{of.preset}-{of.seed}", of, 1.0, 3, "", state, None, None, None, None, result)


def case(acc: float, asr: float, victim: str = "one", name: str = "default", seed: int = 0, **said: Any) -> Compared:
    own = spec(victim, name, seed=seed)
    return Compared(own, run(own, acc, asr, **said))


def test_a_run_is_found_by_its_settings_and_not_by_its_presets_name():
    own, other = spec(), spec(name="paper")
    renamed = run(replace(own, preset="mine"))
    unlike = [run(spec(spc=2)), run(spec(seed=1)), run(replace(own, precision="bfloat16")), run(spec("two"))]
    assert compared([own, other], [*unlike, renamed]) == [Compared(own, renamed), Compared(other, None)]


def test_of_two_runs_the_finished_one_counts():
    own = spec()
    going, done = run(own, state=RunState.RUNNING), run(own)
    assert compared([own], [going, done])[0].run is done
    assert compared([own], [going])[0].under_way


def card(name: str) -> VictimCard:
    return VictimCard(name, "cifar10", "preactresnet18w2", "badnets", 0.1, 0, 0.9, 1.0, 0.0, 100)


def test_every_combination_is_asked_for_once():
    found = specs_of([card("one"), card("two")], ["paper", "ft"], [2, 10], [0, 3])
    asked = {(each.victim, each.defense, each.preset, each.spc, each.seed, each.config.seed) for each in found}
    assert len(found) == len(asked) == 16
    assert ("two", "ft", "default", 10, 3, 3) in asked or ("two", "ft", "paper", 10, 3, 3) in asked


@pytest.mark.parametrize(
    ("methods", "spcs", "seeds", "words"),
    [
        (["nothing"], [1], [0], "no defence 'nothing'"),
        (["ims:nothing"], [1], [0], "no preset 'nothing'"),
        (["ims"], [0], [0], "between 1 and 100"),
        (["ims"], [1], range(1001), "at most 1,000"),
    ],
)
def test_what_cannot_be_compared_gets_a_sentence(methods, spcs, seeds, words):
    with pytest.raises(UserError, match=words):
        specs_of([card("one")], methods, spcs, seeds)


def test_means_are_over_what_every_defence_has_finished():
    cases = [
        case(0.8, 0.1, "one"),
        case(0.9, 0.3, "two"),
        case(0.7, 0.2, "one", "paper"),
        Compared(spec("two", "paper"), None),
    ]
    shared = in_all(cases)
    assert [each.spec.victim for each in shared] == ["one", "one"]
    first, second = means(shared)
    assert (first.method, first.shares["acc"]) == (("ims", "default"), Spread(0.8, None, 1))
    assert (second.method, second.shares["asr"]) == (("ims", "paper"), Spread(0.2, None, 1))


def test_a_defence_without_any_result_takes_no_case_from_the_others():
    cases = [case(0.8, 0.1), Compared(spec(name="paper"), None)]
    assert [each.method for each in in_all(cases)] == [("ims", "default")]
    assert in_all([Compared(spec(), None)]) == []
    assert means([]) == []


def test_mean_deviation_and_der_by_hand():
    (row,) = means([case(0.8, 0.1, seed=0, seconds=2.0), case(0.9, 0.3, seed=1, seconds=4.0)])
    assert row.shares["acc"].mean == pytest.approx(0.85)
    assert row.shares["acc"].deviation == pytest.approx(0.0707107)
    # DER: (0.9 - 0.1 + 1) / 2 = 0.9, and (0.7 - 0 + 1) / 2 = 0.85.
    assert row.shares["der"].mean == pytest.approx(0.875)
    assert row.seconds is not None
    assert (row.seconds.mean, row.seconds.n) == (3.0, 2)
    assert in_words(row.shares["acc"]) == "85.0 ± 7.1"
    assert in_words(None) == "–"


def test_the_front_has_who_is_beaten_by_nobody():
    points = [(0.9, 0.5), (0.8, 0.1), (0.85, 0.5), (0.7, 0.0), (0.7, 0.05)]
    assert front(points) == [3, 1, 0]
    assert front([(0.8, 0.1), (0.8, 0.1)]) == [0, 1]
    assert front([]) == []


def test_who_leads_is_told_to_a_tenth_of_a_per_cent():
    rows = means([case(0.8001, 0.1), case(0.8004, 0.2, name="paper")])
    assert leading(rows, "acc") == [("ims", "default"), ("ims", "paper")]
    assert leading(rows, "asr") == [("ims", "default")]
    assert leading([], "ra") == []


def test_the_time_left_is_that_of_runs_of_the_same_defence():
    done, missing = case(0.8, 0.1, seconds=4.0), Compared(spec(seed=1), None)
    assert seconds_left([done, missing, missing]) == 8.0
    assert seconds_left([done, Compared(spec(name="paper"), None)]) is None
    assert seconds_left([done]) == 0


def rows() -> list[Row]:
    return means([case(0.8, 0.1, seed=0), case(0.9, 0.3, seed=1)])


def test_the_table_as_markdown_latex_and_csv():
    markdown = comparison_texts.markdown(rows(), lambda _: "a|b").splitlines()
    assert markdown[2] == r"| a\|b | 85.0 ± 7.1 | 20.0 ± 14.1 | 70.0 ± 0.0 | 87.5 ± 3.5 | 2 | 4.0 ± 0.0 |"
    latex = comparison_texts.latex(rows(), lambda _: "50% & more_")
    assert r"50\% \& more\_ & 85.0 $\pm$ 7.1 &" in latex
    assert r"\begin{tabular}{lrrrrrr}" in latex
    head, line = comparison_texts.as_csv(rows()).splitlines()
    values = dict(zip(head.split(","), line.split(","), strict=True))
    assert values["defense"] == "ims"
    assert float(values["acc"]) == pytest.approx(0.85)
    assert float(values["asr sd"]) == pytest.approx(0.1414214)


def test_points_and_front_are_drawn_where_they_are():
    points = [MethodPoint("IMS", 0.9, 0.02, "IMS"), MethodPoint("FT", 0.88, 0.5, "FT")]
    figure: Any = acc_against_asr(points, [0], (0.91, 1.0), "light")
    by_name = {trace.name: trace for trace in figure.data}
    assert (by_name["IMS"].x[0], by_name["IMS"].y[0]) == (90.0, 2.0)
    assert by_name["Original"].y[0] == 100.0
    assert list(by_name["Pareto front"].x) == [90.0]
    assert [note.text for note in figure.layout.annotations] == ["<b>IMS</b>", "FT"]
    assert figure.layout.xaxis.range[0] <= 87
    assert figure.layout.xaxis.range[1] == 95


def test_eighteen_names_do_not_run_into_each_other():
    points = [MethodPoint(f"method {place}", 0.9, 0.01 * (place % 3), "") for place in range(18)]
    figure: Any = acc_against_asr(points, [0], None, "dark")
    heights = sorted(note.y for note in figure.layout.annotations)
    pixels = (figure.layout.height - figure.layout.margin.t - figure.layout.margin.b) / 100
    assert min(after - before for before, after in itertools.pairwise(heights)) * pixels >= 13


def test_cells_lie_in_the_order_in_which_they_come():
    cells = [MatrixCell("IMS", "a", 0.25, "x"), MatrixCell("IMS", "b", None, "y"), MatrixCell("FT", "a", 1.0, "z")]
    figure: Any = measure_matrix(cells, "light", chosen=2)
    (bars,) = figure.data
    assert list(bars.text) == ["25", "–", "100"]
    assert list(bars.y) == [0, 0, 1]
    assert list(bars.marker.line.width) == [0, 0, 2]
    assert list(figure.layout.yaxis.ticktext) == ["IMS", "FT"]


def test_a_line_over_budgets_has_its_own_budgets_only():
    figure: Any = over_budgets({"IMS": {2: 0.5, 10: 0.75}, "FT": {10: 0.25}}, "RA", "paper")
    assert [(list(line.x), list(line.y)) for line in figure.data] == [([0, 1], [50.0, 75.0]), ([1], [25.0])]
    assert list(figure.layout.xaxis.ticktext) == ["2", "10"]
