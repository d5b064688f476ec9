"""`compare`: defences beside each other on the same victims, from the runs of the home; `--run` makes missing ones."""

import argparse
import dataclasses
import sys
import time

from invmask import settings
from invmask.cli.defend import LOOK_AGAIN_SECONDS
from invmask.cli.runs import store
from invmask.cli.sweep import numbers, words
from invmask.cli.tables import print_json, print_table
from invmask.errors import UserError
from invmask.grids import comparison_texts
from invmask.grids.comparison import Compared, Row, compared, in_all, means, method_title, specs_of
from invmask.runs.store import staleness
from invmask.runs.store.all_runs import RunStore
from invmask.runs.store.goals import Goal, Want
from invmask.runs.store.spec import RunSpec
from invmask.runs.work.advance import Outcome, advance
from invmask.victims.victim import find_cards, read_card


def compare(arguments: argparse.Namespace) -> int:
    """Print the means; returns 1 if some cases have no finished run, else 0.

    Raises:
        UserError: a mistake in the arguments, or a run failed.
    """
    cards = find_cards(settings.victim_folders())
    if unknown := [name for name in arguments.victims if name not in cards]:
        raise UserError(f"There is no victim '{unknown[0]:.60}'; 'invmask victims' lists them.")
    specs = specs_of(
        [read_card(cards[name]) for name in dict.fromkeys(arguments.victims)],
        words(arguments.defenses),
        numbers(arguments.spc, int, "SPC are whole numbers"),
        numbers(arguments.seeds, int, "Seeds are whole numbers"),
    )
    runs = store()
    cases = _cases(runs, specs)
    if arguments.run:
        missing = [case for case in cases if not case.finished]
        for number, case in enumerate(missing, 1):
            spec, place = case.spec, f"{number} of {len(missing)}"
            method = method_title(case.method)
            print(f"{place}: {spec.victim}, {method}, SPC {spec.spc}, seed {spec.seed}", file=sys.stderr)
            _finish(runs, case)
        cases = _cases(runs, specs)
    _print(means(in_all(cases)), arguments.format)
    missing = [case for case in cases if not case.finished]
    if missing:
        more = "" if arguments.run else "; --run makes them"
        print(f"{len(missing)} of {len(cases)} cases have no finished run{more}.", file=sys.stderr)
    return 1 if missing else 0


def _cases(runs: RunStore, specs: list[RunSpec]) -> list[Compared]:
    found, victims = runs.listing().runs, {spec.victim for spec in specs}
    todays = [run for name in victims for run in staleness.of_todays_victim(found, name, runs.folder)]
    return compared(specs, todays)


def _finish(runs: RunStore, case: Compared) -> None:
    """Advance a case's run to its end in this process.

    Raises:
        UserError: the run failed or was paused from elsewhere.
    """
    if case.run is None:
        run = runs.create(case.spec, Want(Goal.FINISH))
    else:
        run = runs.run(case.run.id)
        runs.go_on(run.id)
    while advance(run.path) is Outcome.BUSY:
        time.sleep(LOOK_AGAIN_SECONDS)
    summary = run.summary()
    if summary.result is None:
        raise UserError(f"Run {run.id} has not ended: {summary.message or summary.state}.")


def _print(rows: list[Row], form: str) -> None:
    def title(row: Row) -> str:
        return method_title(row.method)

    if form == "json":
        print_json([_plain(row) for row in rows])
    elif form == "markdown":
        print(comparison_texts.markdown(rows, title))
    elif form == "latex":
        print(comparison_texts.latex(rows, title))
    elif form == "csv":
        print(comparison_texts.as_csv(rows), end="")
    elif rows:
        print_table(comparison_texts.heads(), [comparison_texts.cells(row, title(row)) for row in rows])


def _plain(row: Row) -> dict[str, object]:
    return {
        "defense": row.method[0],
        "preset": row.method[1],
        "n": len(row.cases),
        **{name: dataclasses.asdict(spread) for name, spread in row.shares.items()},
        "seconds": None if row.seconds is None else dataclasses.asdict(row.seconds),
        "runs": [case.run.id for case in row.cases if case.run is not None],
    }
