"""`sweep` does every case through real workers, skips what is done, and says what has no result."""

import json
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from invmask import settings
from invmask.cli import main, sweep
from invmask.defenses.ims.config import IMSConfig, preset
from invmask.errors import UserError
from invmask.grids.grid import expand
from invmask.grids.results import VIEWS, CaseResult, read_folder, write_case
from invmask.runs.cluster.executor import Executor
from invmask.runs.store.all_runs import RunStore
from invmask.runs.store.by_spec import Known
from invmask.runs.store.goals import Goal, read_want
from invmask.runs.store.records import RunState
from invmask.runs.store.run import Run
from invmask.runs.store.spec import RunSpec
from invmask.runs.work import bench
from tests.unit.run_helpers import CONTROL, ROOT, VICTIM, small_spec, write_victims

GRID = ["sweep", "--attacks", "badnets,clean", "--architectures", "preactresnet18w2", "--spc", "1", "--json"]


@pytest.fixture
def home(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Tiny victims under the names that the grid gives them, a defence of a few rounds, one worker."""
    write_victims(own_home / "victims")
    monkeypatch.setenv("INVMASK_WORKERS", "1")
    monkeypatch.setenv("INVMASK_THREADS", "1")
    monkeypatch.setattr(sweep, "spec_of", _spec)
    return own_home


def _spec(victim, preset, spc, seed, precision="float32", defense="ims"):
    assert defense == "ims"
    base = small_spec(victim, preset=preset, spc=spc, seed=seed, precision=precision)
    return replace(base, config=replace(base.config, seed=seed))


def test_a_grid_is_done_by_workers_once_and_goes_on_where_it_was(home, capsys):
    assert main([*GRID, "--seeds", "0"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert [case["victim"] for case in first] == [VICTIM, CONTROL]
    assert all(case["problem"] is None and case["pruned"]["acc"] is not None for case in first)
    folder = home / "sweeps" / "sweep"
    store = RunStore(home / "runs")
    for case in first:
        assert store.run(case["run"]).result().views.pruned.acc == case["pruned"]["acc"]
    before = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.json")}
    assert len(before) == 2

    assert main([*GRID[:-1], "--seeds", "0"]) == 0
    assert "| badnets 10 % |" in capsys.readouterr().out

    # One more seed: what is done is not done again, and the table has both.
    assert main([*GRID, "--seeds", "0,1", "--attacks", "badnets"]) == 0
    assert [case["seed"] for case in json.loads(capsys.readouterr().out)] == [0, 1]
    assert {name: (folder / name).stat().st_mtime_ns for name in before} == before
    assert len(list(folder.glob("*.json"))) == 3
    table = (folder / "table.md").read_text()
    assert "| badnets 10 % | 2 |" in table
    assert "| clean | 1 |" in table
    assert len(store.runs()) == 3


def test_a_case_tells_what_the_search_found(home, monkeypatch):
    def searching(*of, **how):
        base = _spec(*of, **how)
        return replace(base, config=replace(base.config, rounds_search=4, search_steps=1))

    for name, spec_of in (("without", _spec), ("with", searching)):
        monkeypatch.setattr(sweep, "spec_of", spec_of)
        assert main([*GRID, "--attacks", "badnets", "--seeds", "0", "--name", name]) == 0
    found = {name: read_folder(home / "sweeps" / name)[0][0] for name in ("without", "with")}
    assert "lead" not in found["without"].details["notes"]
    entries = RunStore(home / "runs").run(found["with"].run).entries()
    told = entries[-1].record.notes
    assert told["lead"] >= 0
    kept = ("label", "lead", "family", "stands out")
    assert {key: found["with"].details["notes"][key] for key in kept} == {key: told[key] for key in kept}


def test_a_case_without_result_is_tried_again_from_its_run(home, capsys):
    (case,) = sweep.expand(["badnets"], ["preactresnet18w2"], ["cifar10"], [0.1], ["default"], [1], [0])
    run = RunStore(home / "runs").create(sweep._spec(case))
    failed = replace(case.result(run.summary()), problem="The memory ran out.")
    write_case(home / "sweeps" / "again", case.name, failed)
    assert main([*GRID, "--attacks", "badnets", "--name", "again"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["run"], found["problem"]) == (run.id, None)


def test_a_run_that_fails_is_told_of_and_the_others_are_done(home, capsys):
    # Weights of another network: found by the worker, in the run of that victim alone.
    weights = home / "victims" / f"{CONTROL}.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[: len(content) // 2])
    assert main([*GRID, "--seeds", "0"]) == 1
    told = capsys.readouterr()
    assert CONTROL in told.err
    results, problems = read_folder(home / "sweeps" / "sweep")
    assert problems == []
    assert {case.victim: case.problem is None for case in results} == {VICTIM: True, CONTROL: False}


@pytest.fixture
def full_sets(monkeypatch):
    """As if CIFAR-10 lay in the data folder."""
    monkeypatch.setattr(sweep, "is_fetched", lambda dataset, root: dataset == "cifar10")


@pytest.mark.usefixtures("full_sets")
def test_a_data_set_that_is_not_there_is_told_of_before_anything_is_trained(home, monkeypatch, capsys):
    monkeypatch.setattr(sweep, "carry_out", lambda *_: pytest.fail("nothing is to be trained"))
    assert main([*GRID, "--attacks", "badnets,blended", "--datasets", "cifar10,mnist"]) == 2
    told = capsys.readouterr().err
    assert "MNIST is not in" in told
    assert "run 'python -m invmask data mnist' to fetch it" in told
    assert told.count("\n") == 1
    card = (home / "victims" / f"{VICTIM}.json").read_text()
    for end in ("json", "safetensors"):
        source = home / "victims" / f"{VICTIM}.{end}"
        source.with_name(source.name.replace("cifar10", "mnist")).write_bytes(source.read_bytes())
    (home / "victims" / f"{VICTIM.replace('cifar10', 'mnist')}.json").write_text(card.replace("cifar10", "mnist"))
    assert main([*GRID, "--attacks", "badnets", "--datasets", "cifar10,mnist"]) == 2
    assert "The images of mnist for defences are not on this machine" in capsys.readouterr().err
    assert not (home / "sweeps").exists()


@pytest.mark.usefixtures("full_sets")
def test_a_victim_that_cannot_be_trained_is_the_problem_of_its_own_cases(home, monkeypatch, capsys):
    def carry_out(*_):
        raise UserError("The data are damaged.")

    monkeypatch.setattr(sweep, "carry_out", carry_out)
    assert main([*GRID, "--attacks", "blended,badnets", "--seeds", "0"]) == 1
    told = capsys.readouterr()
    found = {case["victim"]: case["problem"] for case in json.loads(told.out)}
    blended = "cifar10-preactresnet18w2-blended"
    assert found == {blended: "Its victim could not be trained: The data are damaged.", VICTIM: None}
    assert f"{blended}, SPC 1, seed 0: Its victim could not be trained" in told.err
    assert "1 without result" in (home / "sweeps" / "sweep" / "table.md").read_text()


def test_an_interrupted_sweep_pauses_its_run_writes_its_table_and_goes_on_with_it(home, monkeypatch, capsys):
    grid, store = [*GRID, "--attacks", "badnets,clean", "--seeds", "0"], RunStore(home / "runs")
    looks = sweep._summary

    def interrupted(run):
        if len(store.runs()) == 2:
            raise KeyboardInterrupt
        return looks(run)

    monkeypatch.setattr(sweep, "_summary", interrupted)
    assert main(grid) == 130
    second, first = store.runs()
    assert first.summary().state is RunState.FINISHED
    assert read_want(second.path).goal is Goal.PAUSE
    assert "badnets" in (home / "sweeps" / "sweep" / "table.md").read_text()
    monkeypatch.setattr(sweep, "_summary", looks)
    capsys.readouterr()
    assert main(grid) == 0
    assert [case["run"] for case in json.loads(capsys.readouterr().out)] == [first.id, second.id]


@pytest.fixture
def no_workers(monkeypatch):
    """Runs are handed out, and nobody takes them."""
    monkeypatch.setattr(Executor, "places", property(lambda _: 3))
    monkeypatch.setattr(Executor, "start", lambda executor: executor)
    monkeypatch.setattr(Executor, "close", lambda _: None)


@pytest.mark.usefixtures("no_workers")
@pytest.mark.parametrize(("seeds", "threads"), [("0", 2), ("0,1", 1)])
def test_cases_side_by_side_share_the_cores_and_one_begun_before_keeps_its_threads(home, monkeypatch, seeds, threads):
    def ended(*_):
        raise RuntimeError("It has seen enough.")

    monkeypatch.delenv("INVMASK_THREADS")
    monkeypatch.setattr(settings, "cores", lambda: 2)
    monkeypatch.setattr(sweep, "_summary", ended)
    (case,) = sweep.expand(["badnets"], ["preactresnet18w2"], ["cifar10"], [0.1], ["default"], [1], [7])
    store = RunStore(home / "runs")
    before = sweep.begin(store, case, 3, Known(store))
    with pytest.raises(RuntimeError, match="seen enough"):
        main([*GRID, "--attacks", "badnets", "--seeds", seeds])
    assert [run.spec().threads for run in store.runs() if run.id != before.id] == [threads] * len(seeds.split(","))
    assert sweep.begin(store, case, 1, Known(store)).id == before.id
    assert before.spec().threads == 3


@pytest.mark.usefixtures("no_workers")
def test_whatever_ends_a_sweep_early_leaves_none_of_its_runs_going(home, monkeypatch):
    store, begun, tried = RunStore(home / "runs"), list[str](), list[str]()
    begin, pause = sweep.begin, RunStore.pause

    def noted(runs, case, threads, known):
        run = begin(runs, case, threads, known)
        begun.append(run.id)
        return run

    def paused(self, run_id):
        tried.append(run_id)
        if run_id == begun[0]:
            raise OSError(28, "No space left on device")
        pause(self, run_id)

    def broken(*_):
        raise RuntimeError("An error that nobody thought of.")

    monkeypatch.setattr(sweep, "begin", noted)
    monkeypatch.setattr(RunStore, "pause", paused)
    monkeypatch.setattr(sweep, "_summary", broken)
    with pytest.raises(RuntimeError, match="nobody thought of"):
        main([*GRID, "--attacks", "badnets", "--seeds", "0,1,2"])
    assert len(begun) == 3
    assert tried == begun
    assert [read_want(store.run(run).path).goal for run in begun] == [Goal.FINISH, Goal.PAUSE, Goal.PAUSE]


@pytest.mark.usefixtures("no_workers")
def test_a_run_that_could_not_be_handed_out_is_not_left_going(home, monkeypatch):
    ask = RunStore._ask

    def half(self, run, want):
        ask(self, run, want)
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(RunStore, "_ask", half)
    assert main([*GRID, "--attacks", "badnets"]) == 2
    (run,) = RunStore(home / "runs").runs()
    assert read_want(run.path).goal is Goal.PAUSE


def test_a_case_is_done_once_in_each_precision_and_no_mean_mixes_them(home, capsys):
    grid, folder = [*GRID, "--attacks", "badnets"], home / "sweeps" / "sweep"
    shorter = folder / f"{VICTIM}_default_spc1_seed0.json"
    assert main([*grid, "--precision", "bfloat16"]) == 0
    (half,) = json.loads(capsys.readouterr().out)
    (path,) = folder.glob("*.json")
    # As it was called before names told precision and device.
    path.rename(shorter)
    assert main([*grid, "--precision", "float32", "--seeds", "0,1"]) == 0
    single = json.loads(capsys.readouterr().out)
    assert [case["precision"] for case in (half, *single)] == ["bfloat16", "float32", "float32"]
    runs = RunStore(home / "runs")
    assert [runs.run(case["run"]).spec().precision for case in (half, *single)] == ["bfloat16", "float32", "float32"]
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*.json")}
    assert len(before) == 3
    assert main([*grid, "--precision", "bfloat16"]) == 0
    assert json.loads(capsys.readouterr().out) == [half]
    assert {path: path.stat().st_mtime_ns for path in folder.glob("*.json")} == before
    table = (folder / "table.md").read_text().splitlines()
    assert table[2].startswith("| precision | seeds |")
    assert [line.split(" | ")[:2] for line in table[4:]] == [["| bfloat16", "1"], ["| float32", "2"]]


@pytest.mark.usefixtures("home")
def test_a_file_that_names_no_precision_is_of_none_and_stays_unless_it_holds_nothing(tmp_path):
    (case,) = expand(["badnets"], ["preactresnet18w2"], ["cifar10"], [0.1], ["default"], [1], [0])
    views = {view: {"acc": 0.9} for view in VIEWS}
    old = CaseResult(**case.description(), views=views, details={"settings": sweep._spec(case).config.as_json()})
    write_case(tmp_path, case.earlier_name, old)
    assert not sweep.is_done(tmp_path, case)
    assert sweep.file_of(tmp_path, case).name == f"{case.name}.json"
    (found,), problems = read_folder(tmp_path)
    assert (found.precision, found.device, problems) == ("unknown", "unknown", [])
    write_case(tmp_path, case.earlier_name, replace(old, views={}, problem="It failed.", details={}))
    assert sweep.file_of(tmp_path, case).name == f"{case.earlier_name}.json"


def test_a_run_that_somebody_pauses_elsewhere_makes_room_for_the_next(home, monkeypatch, capsys):
    looks = sweep._summary

    def paused(run):
        if run.spec().victim == VICTIM:
            RunStore(home / "runs").pause(run.id)
        return looks(run)

    monkeypatch.setattr(sweep, "_summary", paused)
    assert main([*GRID, "--seeds", "0"]) == 1
    found = {case["victim"]: case["problem"] for case in json.loads(capsys.readouterr().out)}
    assert found[CONTROL] is None
    assert found[VICTIM].startswith("The run was ")


@pytest.mark.usefixtures("home")
def test_as_many_runs_are_handed_out_as_the_workers_can_have(monkeypatch):
    begun = []
    monkeypatch.setattr(Executor, "places", property(lambda _: 3))

    class Seen(Exception):
        """Stands for the first look at what was handed out."""

    def summary(_run):
        raise Seen

    monkeypatch.setattr(sweep, "begin", lambda _runs, case, *_: begun.append(case.seed) or Run(Path("gone")))
    monkeypatch.setattr(sweep, "_summary", summary)
    with pytest.raises(Seen):
        main([*GRID, "--attacks", "badnets", "--seeds", "0,1,2,3,4"])
    assert begun == [0, 1, 2]


@pytest.mark.usefixtures("full_sets")
def test_missing_victims_are_trained_first(home, monkeypatch):
    trained = []

    def carry_out(plan, out, epochs):
        trained.append((plan.name, out, epochs))
        raise KeyboardInterrupt

    monkeypatch.setattr(sweep, "carry_out", carry_out)
    assert main([*GRID, "--attacks", "badnets,blended", "--epochs", "2"]) == 130
    assert trained == [("cifar10-preactresnet18w2-blended", home / "victims", 2)]
    assert RunStore(home / "runs").runs() == []


def test_a_victim_that_was_trained_again_is_defended_again(home, capsys):
    grid = [*GRID, "--attacks", "badnets", "--seeds", "0"]
    assert main(grid) == 0
    (first,) = json.loads(capsys.readouterr().out)
    (weights,) = (home / "victims").glob(f"{VICTIM}*.safetensors")
    before = load_file(weights)
    save_file({name: (tensor * 1.01).to(tensor.dtype) for name, tensor in before.items()}, weights)
    assert main(grid) == 0
    (second,) = json.loads(capsys.readouterr().out)
    assert second["run"] != first["run"]
    # Without the victim, as where only results were taken along, they stand.
    (home / "victims" / f"{VICTIM}.json").unlink()
    assert main(grid) == 0
    assert json.loads(capsys.readouterr().out) == [second]


@pytest.mark.usefixtures("home")
def test_a_case_that_other_settings_made_is_done_again(tmp_path):
    (case,) = expand(["badnets"], ["preactresnet18w2"], ["cifar10"], [0.1], ["default"], [1], [3])
    now = sweep._spec(case).config.as_json()
    views = {view: {"acc": 0.9} for view in VIEWS}

    def done(**details: object) -> bool:
        details = {"precision": case.precision, "device": case.device, **details}
        write_case(tmp_path, case.name, CaseResult(**case.description(), views=views, details=details))
        return sweep.is_done(tmp_path, case)

    assert now["seed"] == 3
    assert done(settings=now)
    # What there was no setting for yet left everything as published.
    unset = {name: value for name, value in now.items() if value != getattr(IMSConfig(), name)}
    assert len(unset) < len(now)
    assert done(settings=unset)
    # Before there was a search, there was none.
    earlier = {name: value for name, value in preset("default").as_json().items() if name != "rounds_search"}
    assert IMSConfig.from_json(earlier) == preset("default", rounds_search=0) != preset("default")
    assert not done(settings=[])
    assert not done(settings={**now, "seed": 4})
    assert not done(settings={**now, "gone": 1})
    assert not done()


@pytest.mark.parametrize("architecture", ["preactresnet18w4", "vitw32"])
def test_a_case_whose_victim_is_not_here_is_done_if_its_result_is(own_home: Path, architecture: str):
    (case,) = expand(["badnets"], [architecture], ["cifar10"], [0.1], ["default"], [1], [3])
    made_then = preset("default", architecture == "vitw32", seed=3).as_json()
    views = {view: {"acc": 0.9} for view in VIEWS}
    for settings_then, done in ((made_then, True), ({**made_then, "inner_steps": 3}, False)):
        details: dict[str, object] = {"settings": settings_then, "weights": "somebody's"}
        details |= {"precision": case.precision, "device": case.device}
        write_case(own_home, case.name, CaseResult(**case.description(), views=views, details=details))
        assert sweep.is_done(own_home, case) is done


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--name", "../up"], "letters, digits"),
        (["--spc", "ten"], "SPC are whole numbers"),
        (["--seeds", "-1"], "Seeds are whole numbers"),
        (["--ratios", "0"], "fractions above 0"),
        (["--ratios", "nan"], "fractions above 0"),
        (["--attacks", " , "], "at least one"),
        (["--defenses", "magic"], "no defence"),
    ],
)
def test_mistakes_get_a_sentence_and_leave_nothing(home, capsys, words, sentence):
    assert main([*GRID, *words]) == 2
    told = capsys.readouterr().err
    assert sentence in told
    assert told.count("\n") == 1
    assert not (home / "sweeps").exists()


@pytest.mark.usefixtures("home")
def test_a_large_grid_looks_at_the_machine_once_and_not_for_every_case(tmp_path, monkeypatch):
    looks, glob, from_name = Counter[str](), Path.glob, metadata.Distribution.from_name
    monkeypatch.setattr(sweep, "spec_of", bench.spec_of)
    monkeypatch.setattr(Path, "glob", lambda *words: looks.update(["folder"]) or glob(*words))
    monkeypatch.setattr(metadata.Distribution, "from_name", lambda name: looks.update(["package"]) or from_name(name))
    cost = []
    for seeds in (2, 200):
        cases = expand(["badnets"], ["preactresnet18w2"], ["cifar10"], [0.1], ["default"], [1], list(range(seeds)))
        views = {view: {"acc": 0.9} for view in VIEWS}
        for case in cases:
            made_by = {"precision": case.precision, "device": case.device, "weights": sweep._weights(VICTIM)}
            details = {"settings": preset("default", seed=case.seed).as_json(), **made_by}
            write_case(tmp_path, case.name, CaseResult(**case.description(), views=views, details=details))
        looks.clear()
        here = sweep.Here()
        assert all(sweep.is_done(tmp_path, case, here) for case in cases)
        cost.append(looks.copy())
    assert cost[1] <= cost[0]


def test_a_large_grid_reads_every_run_that_is_there_once(home, monkeypatch):
    store, read, from_json = RunStore(home / "runs"), Counter[str](), RunSpec.from_json
    cases = expand(["badnets"], ["preactresnet18w2"], ["cifar10"], [0.1], ["default"], [1], list(range(12)))
    there = {case.seed: store.create(sweep._spec(case)) for case in cases[:6]}
    monkeypatch.setattr(RunSpec, "from_json", lambda values: read.update([values["seed"]]) or from_json(values))
    known = Known(store)
    begun = {case.seed: sweep.begin(store, case, 1, known) for case in cases}
    assert {seed: begun[seed].id for seed in there} == {seed: run.id for seed, run in there.items()}
    assert len({run.id for run in begun.values()}) == 12
    # Once to know it, and a few times when its own case begins.
    assert max(read.values()) <= 3
    # Somebody else's, made meanwhile, is taken as well.
    (case,) = expand(["badnets"], ["preactresnet18w2"], ["cifar10"], [0.1], ["default"], [2], [0])
    late = store.create(sweep._spec(case))
    assert sweep.begin(store, case, 1, known).id == late.id


def test_a_grid_does_not_load_the_compiler_of_torch():
    code = """
import sys
from invmask.grids.grid import expand
expand(["badnets"], ["preactresnet18w2", "cnn4"], ["cifar10"], [0.1], ["default"], [1], [0])
sys.exit("torch._dynamo" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT).returncode == 0
