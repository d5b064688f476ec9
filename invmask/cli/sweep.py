"""`sweep`: run a grid of cases on the workers. The command resumes where it was interrupted."""

import argparse
import contextlib
import re
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import torch
from tqdm import tqdm

from invmask import settings
from invmask.cli.runs import store
from invmask.cli.tables import print_json
from invmask.cli.train import carry_out
from invmask.data.budget import clean_budget
from invmask.data.embedded import load_embedded
from invmask.data.registry import dataset_info, is_fetched
from invmask.defenses import registry
from invmask.defenses.settings import DefenseConfig
from invmask.errors import UserError
from invmask.grids.grid import Case, expand
from invmask.grids.results import (
    UNKNOWN,
    CaseResult,
    as_markdown,
    read_case,
    read_folder,
    summarise,
    write_case,
    write_tables,
)
from invmask.models import is_transformer
from invmask.runs.cluster.executor import Executor
from invmask.runs.store.all_runs import RunStore
from invmask.runs.store.by_spec import Known
from invmask.runs.store.records import RunState, RunSummary
from invmask.runs.store.run import Run
from invmask.runs.store.spec import RunSpec
from invmask.runs.store.staleness import weights_digest
from invmask.runs.work.bench import check_device, spec_of
from invmask.victims.make import Plan
from invmask.victims.victim import find_cards

T = TypeVar("T", int, float)
LOOK_SECONDS = 0.5
ENDED = (RunState.FINISHED, RunState.STOPPED, RunState.FAILED)
# States of a run that was paused from elsewhere. It gives up its place to others; the next sweep resumes it.
PAUSED = (RunState.PAUSED, RunState.NEW)


def sweep(arguments: argparse.Namespace) -> int:
    """Run every case that is not done yet; returns 1 if some cases have no result, else 0.

    Raises:
        UserError: a mistake in the arguments or in the machine's settings, or a data set is missing. Nothing is begun
            then.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}", arguments.name):
        raise UserError("A sweep's name has letters, digits, - and _, at most 40 of them.")
    cases = expand(
        words(arguments.attacks),
        words(arguments.architectures),
        words(arguments.datasets),
        numbers(arguments.ratios, float, "Poisoning ratios are fractions above 0 and at most 1"),
        words(arguments.defenses),
        numbers(arguments.spc, int, "SPC are whole numbers"),
        numbers(arguments.seeds, int, "Seeds are whole numbers"),
        arguments.precision,
    )
    folder = settings.sweeps_folder() / arguments.name
    here = Here()
    to_do = [case for case in cases if not is_done(folder, case, here)]
    check_before(to_do)
    try:
        untrained = train_missing(to_do, arguments.epochs)
        for case in to_do:
            if case.plan.name in untrained:
                _write(folder, case, case.without_result(untrained[case.plan.name]))
        to_do = [case for case in to_do if case.plan.name not in untrained]
        done = len(cases) - len(to_do)
        with tqdm(total=len(cases), initial=done, unit="case", file=sys.stderr, smoothing=0) as bar:
            run_cases(to_do, folder, arguments.at_once, bar)
    finally:
        found, problems = read_folder(folder)
        if found:
            write_tables(folder, found)
    for problem in problems:
        print(problem, file=sys.stderr)
    results = [read_case(file_of(folder, case)) for case in cases]
    if arguments.json:
        print_json([_brief(result) for result in results])
    else:
        print(as_markdown(summarise(results)))
    print(f"Stored in {folder}.", file=sys.stderr)
    without = [result for result in results if result.problem is not None]
    for result in without:
        print(f"{result.victim}, SPC {result.spc}, seed {result.seed}: {result.problem}", file=sys.stderr)
    return 1 if without else 0


def words(text: str) -> list[str]:
    """`a,b` as a list, without duplicates.

    Raises:
        UserError: the list is empty.
    """
    found = list(dict.fromkeys(word for word in (part.strip() for part in text.split(",")) if word))
    if not found:
        raise UserError("Name at least one of each, separated by commas; see 'sweep --help'.")
    return found


def numbers(text: str, kind: Callable[[str], T], sentence: str) -> list[T]:
    """`1,2` as numbers, none below 0.

    Raises:
        UserError: an entry is not a number or is below 0; `sentence` is the message.
    """
    found = []
    for word in words(text):
        try:
            value = kind(word)
        except ValueError:
            value = kind("-1")
        if not 0 <= value < 2**31 or (kind is float and not 0 < value <= 1):
            raise UserError(f"{sentence}, separated by commas, not '{word[:40]}'.")
        found.append(value)
    return found


def file_of(folder: Path, case: Case) -> Path:
    """The file of a case's result. An older file, named without precision and device, is used if it is this case."""
    earlier = folder / f"{case.earlier_name}.json"
    try:
        found = read_case(earlier)
        is_the_same = case.is_of(found) or (found.problem is not None and found.precision == UNKNOWN)
    except UserError:
        # A case with a damaged file is run again.
        is_the_same = earlier.exists()
    return earlier if is_the_same else folder / f"{case.name}.json"


def _write(folder: Path, case: Case, result: CaseResult) -> None:
    write_case(folder, file_of(folder, case).stem, result)


class Here:
    """The settings that cases have on this machine. What many cases share is looked up once."""

    def __init__(self) -> None:
        self.weights = lru_cache(maxsize=None)(_weights)
        self._spec = lru_cache(maxsize=None)(
            lambda victim, made_by: spec_of(victim, made_by[1], 1, 0, defense=made_by[0])
        )

    def config(self, case: Case) -> DefenseConfig:
        """The settings that the case would be run with now."""
        return replace(self._spec(case.plan.name, (case.defense, case.preset)).config, seed=case.seed)


def is_done(folder: Path, case: Case, here: Here | None = None) -> bool:
    """Whether the case has a result with today's settings, precision and device, and with the weights on this machine.

    Args:
        here: shared between calls when many cases are checked.
    """
    here = here or Here()
    try:
        found = read_case(file_of(folder, case))
        entry = registry.entry(case.defense)
        settings_then = entry.config.from_json(found.details.get("settings", {}))
    except (UserError, TypeError):
        return False
    # If the victim is missing (only results were copied), the result still counts.
    weights, weights_here = found.details.get("weights"), here.weights(case.plan.name)
    settings_now = here.config(case)
    if weights_here is None and is_transformer(case.plan.architecture):
        settings_now = entry.preset(case.preset, transformer=True, seed=case.seed)
    alike = case.is_of(found) and settings_then == settings_now
    return found.problem is None and alike and (weights is None or weights_here in (None, weights))


def check_before(cases: list[Case]) -> None:
    """Find mistakes now that would otherwise end the sweep after hours of training.

    Raises:
        UserError: the machine has no such device; a full data set that training needs is missing; the images that
            defences need are missing; or a class has too few of them.
    """
    check_device(settings.device())
    needed = {plan.dataset for plan in _missing(cases).values()}
    for dataset in dict.fromkeys(case.plan.dataset for case in cases):
        if dataset in needed and not is_fetched(dataset, settings.data_folder()):
            title = dataset_info(dataset).title
            raise UserError(
                f"Victims have to be trained, and {title} is not in {settings.data_folder()}; run 'python -m invmask "
                f"data {dataset}' to fetch it."
            )
        load_embedded(dataset, "test")
        clean_budget(dataset, max(case.spc for case in cases if case.plan.dataset == dataset), seed=0)


def _missing(cases: list[Case]) -> dict[str, Plan]:
    known = find_cards(settings.victim_folders())
    return {case.plan.name: case.plan for case in cases if case.plan.name not in known}


def train_missing(cases: list[Case], epochs: int | None) -> dict[str, str]:
    """Train every victim that the cases need and that is missing.

    Returns:
        For each victim that could not be trained, the reason as a sentence.
    """
    missing, problems = _missing(cases), {}
    if missing:
        torch.set_num_threads(settings.threads())
    for place, (name, plan) in enumerate(missing.items(), 1):
        print(f"Training {name}, {place} of {len(missing)} missing victims.", file=sys.stderr)
        try:
            carry_out(plan, settings.victim_folders()[-1], epochs)
        except UserError as error:
            problems[name] = f"Its victim could not be trained: {error}"
    return problems


def run_cases(cases: list[Case], folder: Path, at_once: int | None, bar: "tqdm[NoReturn]") -> None:
    """Hand the cases to the workers and store each result. If the sweep ends early, its runs are paused.

    Args:
        at_once: number of runs under way at a time; None for as many as the workers can take.
    """
    if not cases:
        return
    runs, waiting, under_way = store(), list(reversed(cases)), dict[str, tuple[Case, Run]]()
    known = Known(runs)
    executor = Executor(runs).start()
    # The cores of an existing scheduler's workers are not known here; assume that each has its own machine.
    side_by_side = min(len(cases), at_once or executor.places) if executor.scheduler is None else 1
    threads = settings.threads(side_by_side)
    told, seen_paused = None, set[str]()
    try:
        while waiting or under_way:
            while waiting and len(under_way) < (at_once or executor.places):
                case = waiting.pop()
                under_way[case.name] = case, begin(runs, case, threads, known)
            time.sleep(LOOK_SECONDS)
            for name, (case, run) in list(under_way.items()):
                summary = _summary(run)
                paused = summary is not None and summary.state in PAUSED
                # A run that is just ending may look paused.
                twice = paused and name in seen_paused
                (seen_paused.add if paused else seen_paused.discard)(name)
                if summary is None or summary.state in ENDED or twice:
                    _write(folder, case, _result(case, run, summary))
                    del under_way[name]
                    bar.update()
            rounds = sum(summary.round for _, run in under_way.values() if (summary := _summary(run)) is not None)
            bar.set_postfix_str(f"{len(under_way)} under way, {rounds} rounds of them taken")
            if executor.problem not in (None, told):
                bar.write(str(executor.problem), file=sys.stderr)
            told = executor.problem
    except BaseException:
        pause_all(runs, [run for _, run in under_way.values()])
        raise
    finally:
        executor.close()


def pause_all(runs: RunStore, begun: list[Run]) -> None:
    """Pause all of these runs. If one cannot be paused, the others still are."""
    going = []
    for run in begun:
        try:
            runs.pause(run.id)
        except (UserError, OSError) as error:
            going.append(f"Run {run.id} could not be paused: {error}")
    print("\n".join(["", *going, "Paused; the same command goes on."]), file=sys.stderr)


def begin(runs: RunStore, case: Case, threads: int, known: Known) -> Run:
    """The case's run: an existing run with exactly these settings, or a new one. It is asked to run to its end.

    Args:
        threads: threads of a new run; an existing run keeps its own number.
    """
    spec = replace(_spec(case), threads=threads)
    found = next((run for run in known.of(spec) if _same(run, spec)), None)
    run = found or runs.create(spec)
    if found is None or found.summary().state is not RunState.FINISHED:
        try:
            runs.go_on(run.id)
        except BaseException:
            with contextlib.suppress(UserError, OSError):
                runs.pause(run.id)
            raise
    return run


def _spec(case: Case) -> RunSpec:
    return spec_of(case.plan.name, case.preset, case.spc, case.seed, precision=case.precision, defense=case.defense)


def _same(run: Run, spec: RunSpec) -> bool:
    try:
        if replace(run.spec(), threads=spec.threads) != spec:
            return False
        shapes = run.shapes()
        return shapes is None or shapes.weights in (None, _weights(spec.victim))
    except UserError:
        return False


def _weights(victim: str) -> str | None:
    return weights_digest(victim, settings.victim_folders())


def _summary(run: Run) -> RunSummary | None:
    """The run's summary; None if the run was deleted."""
    try:
        return run.summary()
    except UserError:
        return None


def _result(case: Case, run: Run, summary: RunSummary | None) -> CaseResult:
    if summary is None:
        return case.without_result("The run was deleted before its end.", run.id)
    result = case.result(summary)
    if result.problem is not None:
        return result
    try:
        shapes = run.shapes()
    except UserError as error:
        return case.without_result(str(error), run.id)
    weights = shapes.weights if shapes is not None else None
    return replace(result, details={**result.details, "weights": weights})


def _brief(result: CaseResult) -> dict[str, Any]:
    keys = ("victim", "defense", "preset", "spc", "seed", "precision", "device", "run", "problem", "seconds")
    return {key: getattr(result, key) for key in keys} | result.views
