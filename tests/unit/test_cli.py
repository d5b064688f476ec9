import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from invmask import settings
from invmask.attacks.registry import ATTACKS, make_attack
from invmask.cli import defend, main
from invmask.data.embedded import write_part
from invmask.data.images import LabelledImages
from invmask.defenses.ims import config
from invmask.defenses.verdict import Verdict, verdict_words
from invmask.runs.store.all_runs import RunStore
from invmask.runs.store.goals import Goal
from invmask.runs.store.run import Run
from invmask.runs.work.advance import Outcome
from invmask.runs.work.bench import Bench
from invmask.victims.victim import find_cards, read_card
from tests.unit.run_helpers import CONTROL, ROOT, VICTIM, long_spec, small_spec, without_time, write_victims

OUTCOME = {
    "run", "victim", "spc", "seed", "defense", "preset", "stopped_because", "rounds", "seconds", "channels", "verdict",
    "selected", "pruned", "inverse_cut", "original", "pruned_view", "inverse_view",
}  # fmt: skip
SHORT = ["--set", "inner_steps=1", "--set", "batch_size=8", "--spc", "1", "--precision", "float32"]


@pytest.fixture
def home(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with victims, where the measuring at the end takes the probe instead of 2,000 images."""
    write_victims(own_home / "victims")
    monkeypatch.setattr(Bench, "all_test_images", lambda bench: bench.probe)
    monkeypatch.setenv("INVMASK_THREADS", "1")
    return own_home


@pytest.fixture
def store(home: Path) -> RunStore:
    return RunStore(home / "runs")


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = main(arguments)
    out, err = capsys.readouterr()
    return status, out, err


def test_models(capsys: pytest.CaptureFixture[str]):
    status, out, err = call(capsys, "models", "--json")
    assert (status, err) == (0, "")
    found = {model["name"]: model for model in json.loads(out)}
    assert {"preactresnet18", "vgg19bn", "efficientnetb3", "mobilenetv3large", "vit", "vitb16"} <= set(found)
    assert list(found) == sorted(found)
    preact = found["preactresnet18"]
    assert (preact["parameters"], preact["layers"], preact["channels"]) == (11_171_146, 20, 4_800)
    assert (preact["masked"], found["vit"]["masked"]) == ("convolutions", "encoder blocks")
    assert all(model["source"] and model["width_means"] for model in found.values())
    status, out, _ = call(capsys, "models")
    assert status == 0
    assert "11,171,146" in out


def test_datasets(capsys: pytest.CaptureFixture[str], home: Path):
    (home / "data" / "MNIST").mkdir(parents=True)
    drawn = LabelledImages(np.zeros((43, 32, 32, 3), np.uint8), np.arange(43))
    for part in ("budget", "test"):
        write_part(home / "data" / "prepared" / "gtsrb", part, drawn, np.arange(43), {})
    # A folder alone, as somebody's deletion of its files leaves it, is of no use to a defence.
    (home / "data" / "prepared" / "cifar100").mkdir()
    status, out, err = call(capsys, "datasets", "--json")
    assert (status, err) == (0, "")
    found = {dataset["name"]: dataset for dataset in json.loads(out)}
    assert list(found) == ["cifar10", "cifar100", "fashionmnist", "gtsrb", "mnist", "tinyimagenet"]
    assert [name for name, dataset in found.items() if dataset["fetched"]] == ["mnist"]
    assert {name: dataset["images"] for name, dataset in found.items() if dataset["images"] != "none"} == {
        "cifar10": "embedded",
        "fashionmnist": "embedded",
        "gtsrb": "prepared",
    }
    assert (found["mnist"]["shape"], found["gtsrb"]["n_classes"]) == ([1, 28, 28], 43)
    assert call(capsys, "datasets")[0] == 0


def test_victims(capsys: pytest.CaptureFixture[str], home: Path):
    status, out, err = call(capsys, "victims", "--json")
    assert (status, err) == (0, "")
    victims = {victim["name"]: victim for victim in json.loads(out)}
    assert list(victims) == sorted(victims)
    assert list(victims[VICTIM]) == [
        "name", "dataset", "architecture", "attack", "poisoning_ratio", "target_label", "acc", "asr", "ra", "n_test",
    ]  # fmt: skip
    assert victims[VICTIM]["attack"] == "badnets"
    assert victims[CONTROL]["asr"] is None
    (home / "victims" / "broken.json").write_text("{")
    status, out, err = call(capsys, "victims")
    assert status == 0
    assert VICTIM in out
    assert "broken.json is not a victim's card" in err


WRONG_VALUES = {"acc": [float("nan"), [1], "high", 1.5], "dataset": [5], "attack": [["x"]], "architecture": [7, None]}
WRONG_VALUES |= {"attack_settings": [[1]], "poisoning_ratio": [None, True], "n_test": [0.5, -1], "trigger_file": [5]}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in WRONG_VALUES.items() for value in values], ids=str
)
def test_a_card_with_a_wrong_value_is_told_of_and_hides_no_other(
    capsys: pytest.CaptureFixture[str], home: Path, name: str, value: object
):
    card = json.loads((home / "victims" / f"{VICTIM}.json").read_text())
    (home / "victims" / "odd.json").write_text(json.dumps({**card, "name": "odd", name: value}))
    sentence = f"{home / 'victims' / 'odd.json'} is not a victim's card; delete it or train the victim again.\n"
    status, out, err = call(capsys, "victims", "--json")
    assert (status, err) == (0, sentence)
    assert VICTIM in {victim["name"] for victim in json.loads(out)}
    assert call(capsys, "defend", "odd", "--spc", "1") == (2, "", sentence)


def test_attacks(capsys: pytest.CaptureFixture[str]):
    status, out, err = call(capsys, "attacks", "--json")
    assert (status, err) == (0, "")
    attacks = {attack["name"]: attack for attack in json.loads(out)}
    assert set(attacks) == set(ATTACKS)
    for name, attack in attacks.items():
        assert set(attack) == {"name", "title", "explanation", "source", "settings", "trigger", "poisons", "labels"}
        assert make_attack(name, attack["settings"]) == make_attack(name)
    assert {name for name, attack in attacks.items() if attack["trigger"] == "trained"} == {"ssba", "iab"}
    assert {name for name, attack in attacks.items() if attack["poisons"] == "each batch"} == {"iab", "wanet", "bpp"}
    assert [name for name, attack in attacks.items() if "clean-label" in attack["labels"]] == ["sig"]
    assert attacks["wanet"]["source"]["url"] == "https://arxiv.org/abs/2102.10369"
    status, out, _ = call(capsys, "attacks")
    assert status == 0
    assert "Nguyen" in out


def test_defend_holds_to_its_contract(capsys: pytest.CaptureFixture[str], store: RunStore):
    status, out, err = call(capsys, "defend", VICTIM, *SHORT, "--seed", "3", "--rounds-max", "2", "--json")
    assert status == 0
    outcome = json.loads(out)
    assert set(outcome) == OUTCOME
    assert outcome["rounds"] == {"search": 2, "minimise": 0, "sparsify": 0}
    assert outcome["stopped_because"] == "Stopped after 2 rounds, as --rounds-max asked."
    assert (outcome["victim"], outcome["spc"], outcome["seed"], outcome["preset"]) == (VICTIM, 1, 3, "default")
    for view in ("original", "pruned_view", "inverse_view"):
        assert set(outcome[view]) == {"acc", "asr", "ra"}
        assert all(0 <= share <= 1 for share in outcome[view].values())
    assert outcome["channels"] == 150
    assert outcome["seconds"] > 0
    assert outcome["verdict"] is None, "the search is not over"
    assert "2/2" in err
    spec = store.run(outcome["run"]).spec()
    assert (spec.config.seed, spec.config.inner_steps, spec.precision, spec.threads) == (3, 1, "float32", 1)
    assert spec.versions["torch"]


def test_a_run_whose_search_is_over_has_a_verdict(
    capsys: pytest.CaptureFixture[str], store: RunStore, monkeypatch: pytest.MonkeyPatch
):
    short = {"rounds_search": 4, "rounds_minimise": 1, "rounds_sparsify": 1}
    monkeypatch.setitem(config.PRESETS, "default", replace(config.PRESETS["default"], **short))
    status, out, err = call(capsys, "defend", VICTIM, *SHORT, "--json")
    assert status == 0, err
    told = json.loads(out)["verdict"]
    assert set(told) == {"word", "probability", "label", "lead", "family"}
    run = json.loads(out)["run"]
    notes = store.run(run).entries()[-1].record.notes
    assert (told["label"], told["lead"], told["family"]) == (notes["label"], notes["lead"], notes["family"])
    classes = read_card(find_cards(settings.victim_folders())[VICTIM]).dataset_info.classes
    assert f"\nVerdict: {verdict_words(Verdict(**told), classes)}.\n" in call(capsys, "show", run)[1]
    # Whoever deleted the victim gets the label's number.
    monkeypatch.setattr("invmask.cli.runs.find_cards", lambda _folders: {})
    assert f"\nVerdict: {verdict_words(Verdict(**told))}.\n" in call(capsys, "show", run)[1]


def test_defend_gives_the_records_of_the_dashboards_engine(
    capsys: pytest.CaptureFixture[str], store: RunStore, monkeypatch: pytest.MonkeyPatch
):
    from invmask.runs.work.advance import advance

    monkeypatch.setitem(config.PRESETS, "small", small_spec().config)
    status, out, _ = call(
        capsys, "defend", VICTIM, "--preset", "small", "--spc", "1", "--precision", "float32", "--json"
    )
    assert status == 0
    outcome = json.loads(out)
    assert outcome["rounds"] == {"initialise": 2, "minimise": 3, "sparsify": 2}
    assert outcome["stopped_because"].endswith(".")
    by_command = store.run(outcome["run"])
    by_hand = store.create(replace(by_command.spec(), versions={}))
    for _ in range(7):
        store.advance(by_hand.id)
        advance(by_hand.path)
    assert without_time(by_hand.entries()) == without_time(by_command.entries())

    status, out, _ = call(capsys, "show", outcome["run"], "--json")
    assert status == 0
    shown = json.loads(out)
    assert {key: shown[key] for key in OUTCOME} == outcome
    assert shown["state"] == "finished"
    status, out, _ = call(capsys, "resume", outcome["run"], "--json")
    assert json.loads(out) == outcome


@pytest.mark.usefixtures("store")
def test_a_clean_control_has_no_attack_to_measure(capsys: pytest.CaptureFixture[str]):
    status, out, _ = call(capsys, "defend", CONTROL, *SHORT, "--rounds-max", "1", "--json")
    assert status == 0
    assert json.loads(out)["pruned_view"]["asr"] is None
    status, out, _ = call(capsys, "defend", CONTROL, *SHORT, "--rounds-max", "1")
    assert "pruned" in out
    assert "ASR %" in out


def test_runs_show_resume_delete(capsys: pytest.CaptureFixture[str], store: RunStore):
    assert json.loads(call(capsys, "runs", "--json")[1]) == []
    run = store.create(small_spec())
    (listed,) = json.loads(call(capsys, "runs", "--json")[1])
    assert (listed["run"], listed["state"], listed["round"]) == (run.id, "new", 0)
    assert run.id in call(capsys, "runs")[1]
    shown = json.loads(call(capsys, "show", run.id, "--json")[1])
    assert shown["original"] is None
    assert shown["stopped_because"] is None
    assert call(capsys, "show", run.id)[0] == 0

    status, out, _ = call(capsys, "resume", run.id)
    assert status == 0
    assert run.result().finished
    assert run.result().stopped_because in out
    assert call(capsys, "show", run.id)[0] == 0

    status, out, err = call(capsys, "delete", run.id)
    assert (status, out) == (0, "")
    assert run.id in err
    assert store.runs() == []


def test_resume_keeps_to_the_cap_and_goes_beyond_it_afterwards(capsys: pytest.CaptureFixture[str], store: RunStore):
    run = store.create(small_spec())
    store.go_on(run.id, until=3, because="Three.")
    assert json.loads(call(capsys, "resume", run.id, "--json")[1])["stopped_because"] == "Three."
    assert run.summary().round == 3
    assert json.loads(call(capsys, "resume", run.id, "--json")[1])["rounds"]["sparsify"] == 2


def test_a_pause_keeps_the_cap(capsys: pytest.CaptureFixture[str], store: RunStore):
    run = store.create(small_spec())
    store.go_on(run.id, until=3, because="Three.")
    store.pause(run.id)
    store.pause(run.id)
    assert json.loads(call(capsys, "resume", run.id, "--json")[1])["stopped_because"] == "Three."
    assert run.summary().round == 3


def test_a_failed_run_is_told_and_can_be_resumed(
    capsys: pytest.CaptureFixture[str], store: RunStore, monkeypatch: pytest.MonkeyPatch
):
    from invmask.defenses.ims.stepper import IMS

    def fail(*_):
        raise RuntimeError("no luck")

    run = store.create(small_spec())
    with monkeypatch.context() as patched:
        patched.setattr(IMS, "step", fail)
        status, out, err = call(capsys, "resume", run.id, "--json")
    assert (status, out) == (1, "")
    assert "no luck" in err
    assert "Traceback" not in err
    assert call(capsys, "resume", run.id, "--json")[0] == 0


def test_a_pause_from_elsewhere_ends_the_command_and_says_how_to_go_on(
    capsys: pytest.CaptureFixture[str], store: RunStore, monkeypatch: pytest.MonkeyPatch
):
    from invmask.cli import defend

    run = store.create(small_spec())
    show = defend._Bar.show

    def pause_then_show(bar, entry):
        store.pause(run.id)
        show(bar, entry)

    monkeypatch.setattr(defend._Bar, "show", pause_then_show)
    status, out, err = call(capsys, "resume", run.id, "--json")
    assert (status, out) == (1, "")
    assert f"python -m invmask resume {run.id}" in err
    assert run.summary().round == 1


def test_whoever_reads_the_progress_may_go(
    capsys: pytest.CaptureFixture[str], store: RunStore, monkeypatch: pytest.MonkeyPatch
):
    from invmask.cli import defend

    def gone(*_: object) -> None:
        raise BrokenPipeError

    run = store.create(small_spec())
    monkeypatch.setattr(defend.tqdm, "update", gone)
    status, out, _ = call(capsys, "resume", run.id, "--json")
    assert (status, json.loads(out)["run"]) == (0, run.id)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "COMMAND"),
        (["dance"], "invalid choice: 'dance'"),
        (["defend"], "required: VICTIM"),
        (["defend", "nothing"], "There is no victim 'nothing'"),
        (["defend", "../" + VICTIM], "There is no victim"),
        (["defend", VICTIM, "--spc", "0"], "whole number from 1"),
        (["defend", VICTIM, "--spc", "ten"], "whole number from 1"),
        (["defend", VICTIM, "--spc", "101"], "between 1 and 100"),
        (["defend", VICTIM, "--preset", "best"], "no preset 'best'"),
        (["defend", VICTIM, "--seed", "-1"], "--seed"),
        (["defend", VICTIM, "--seed", "1.5"], "whole number from 0"),
        (["defend", VICTIM, "--rounds-max", "0"], "whole number from 1"),
        (["defend", VICTIM, "--set", "speed=9"], "no setting 'speed'"),
        (["defend", VICTIM, "--set", "inner_steps"], "has to be a whole number"),
        (["defend", VICTIM, "--set", "inner_steps=1.5"], "has to be a whole number"),
        (["defend", VICTIM, "--set", "norm_bound=7"], "Norm bound has to be between"),
        (["defend", VICTIM, "--set", "norm_bound=nan"], "Norm bound has to be between"),
        (["defend", VICTIM, "--precision", "int8"], "invalid choice: 'int8'"),
        (["show", "../../etc"], "There is no run"),
        (["show", "20261122-151230-badnets-ab12"], "There is no run"),
        (["resume", "x"], "There is no run"),
        (["delete", "x"], "There is no run"),
        (["train", "badnets-clean"], "named <dataset>-<architecture>-<attack>"),
        (["train", "svhn-preactresnet18w16-badnets"], "no data set 'svhn'"),
        (["train", "mnist-cnn4-badnets"], "MNIST is not in"),
        (["train", "cifar10-resnet9-badnets"], "no architecture 'resnet9'"),
        (["train", "dance"], "no attack 'dance'"),
        (["train", "badnets", "--ratio", "0.95"], "At most 0.9 of the images are of other classes"),
        (["train", "badnets", "--ratio", "much"], "fraction"),
        (["train", "badnets", "--threads", "1025"], "from 1 to 1024, not '1025'"),
        (["train", "badnets", "--target", "10"], "between 0 and 9"),
        (["train"], "either as a victim's name or by --attack"),
        (["train", "badnets", "--attack", "sig"], "either as a victim's name or by --attack"),
        (["train", "badnets", "--labels", "none"], "Labels can be all-to-one or all-to-all or clean-label"),
        (["train", "badnets", "--labels", "clean-label"], "BadNets can label what it poisons"),
        (["train", "sig", "--labels", "clean-label", "--ratio", "0.2"], "At most 0.1 of the images are of the target"),
        (["train", "badnets-q7"], "named <dataset>-<architecture>-<attack>"),
        (["train", "bpp", "--set", "colours=3"], "'bpp' has no setting 'colours'"),
        (["train", "bpp", "--set", "levels=1"], "has to be a whole number from 2 to 256"),
        (["train", "bpp", "--picture", "x.png"], "--picture is for the attack 'picture'"),
        (["train", "picture", "--picture", "/none/x.png"], "cannot be read"),
        (["train", "badnets", "--name", "../x"], "has small letters"),
        (["train", "badnets", "--name", "mine", "--device", "cuda:99"], "no device 'cuda:99'; choose cpu or one that"),
        (["train", "badnets", "--name", "mine"], "CIFAR-10 is not in"),
        (["train", "badnets"], "give yours another name with --name"),
        (["data", "svhn"], "no data set 'svhn'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_give_one_sentence_and_status_2(
    capsys: pytest.CaptureFixture[str], store: RunStore, arguments: list[str], sentence: str
):
    status, out, err = call(capsys, *arguments)
    assert (status, out) == (2, "")
    assert sentence in err
    assert err.count("\n") == 1
    assert err.endswith(".\n")
    assert store.runs() == []


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("INVMASK_HOME", __file__),
        ("INVMASK_THREADS", "many"),
        ("INVMASK_THREADS", "0"),
        ("INVMASK_DEVICE", "tpu"),
        ("INVMASK_DEVICE", "cuda:99"),
    ],
)
def test_wrong_settings_of_the_machine_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, variable: str, value: str
):
    monkeypatch.setenv(variable, value)
    status, out, err = call(capsys, "defend", VICTIM, *SHORT, "--rounds-max", "1")
    assert (status, out) == (2, "")
    assert err.count("\n") == 1


def test_a_home_that_cannot_be_written_to_is_a_sentence(capsys: pytest.CaptureFixture[str], home: Path):
    (home / "runs").write_text("in the way")
    status, out, err = call(capsys, "defend", VICTIM, *SHORT)
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert str(home / "runs") in err


def test_a_damaged_run_does_not_hide_the_others(capsys: pytest.CaptureFixture[str], store: RunStore):
    good, bad = store.create(small_spec()), store.create(small_spec())
    (bad.path / "spec.json").write_text("{")
    status, out, err = call(capsys, "runs", "--json")
    assert status == 0
    assert [run["run"] for run in json.loads(out)] == [good.id]
    assert bad.id in err
    assert call(capsys, "show", bad.id)[0] == 2
    assert call(capsys, "delete", bad.id)[0] == 0


@pytest.mark.usefixtures("home")
def test_listing_victims_and_help_do_not_wait_for_torch():
    code = """
import sys
from invmask.cli import main
assert main(["victims", "--json"]) == 0
try:
    main(["--help"])
except SystemExit as end:
    assert end.code == 0
assert "torch" not in sys.modules
"""
    ran = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, cwd=ROOT)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("target", "status", "said"), [("| true", 1, ""), ("> /dev/full", 2, "No space left on device.\n")]
)
def test_output_that_nobody_takes_ends_quietly_or_in_a_sentence(target: str, status: int, said: str):
    line = f"{sys.executable} -m invmask attacks --json {target}; exit ${{PIPESTATUS[0]}}"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    ran = subprocess.run(["bash", "-c", line], check=False, capture_output=True, text=True, cwd=ROOT, env=environment)
    assert (ran.returncode, ran.stdout) == (status, "")
    assert ran.stderr.endswith(said)
    assert ran.stderr.count("\n") == bool(said)


def test_a_run_that_is_deleted_meanwhile_is_told_of(
    capsys: pytest.CaptureFixture[str], store: RunStore, monkeypatch: pytest.MonkeyPatch
):
    run = store.create(small_spec())

    def deleted(*_: object, **__: object) -> Outcome:
        store.delete(run.id)
        return Outcome.IDLE

    monkeypatch.setattr(defend, "advance", deleted)
    status, out, err = call(capsys, "resume", run.id)
    assert (status, out) == (1, "")
    assert err.endswith(f"Run {run.id} was deleted.\n")


def test_control_c_pauses_and_the_run_can_be_resumed(store: RunStore):
    run = store.create(long_spec())
    command = [sys.executable, "-m", "invmask", "resume", run.id, "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    deadline = time.monotonic() + 400
    while run.summary().round < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=400)
    assert process.returncode == 1
    assert out == ""
    assert "Pausing after the round in hand" in err
    assert "Traceback" not in err
    paused = Run(run.path).summary()
    assert paused.state == "paused"
    assert paused.message is None
    assert run.want().goal is Goal.PAUSE


def test_a_run_is_renamed_and_listed_with_its_name(own_home: Path, capsys: pytest.CaptureFixture[str]):
    run = RunStore(own_home / "runs").create(small_spec())
    assert main(["rename", run.id, "the *first* one"]) == 0
    assert capsys.readouterr().err == f"Run {run.id} is called 'the *first* one' now.\n"
    assert main(["runs"]) == 0
    head, row = capsys.readouterr().out.splitlines()
    assert head.split() == [
        "run",
        "name",
        "victim",
        "defence",
        "preset",
        "SPC",
        "seed",
        "made",
        "state",
        "round",
        "ASR",
        "%",
    ]
    assert row.startswith(f"{run.id}  the *first* one  {VICTIM}  IMS  ")
    assert main(["runs", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["name"] == "the *first* one"
    assert main(["rename", run.id, "x" * 61]) == 2
    assert capsys.readouterr().err == (
        "The name of a run has at most 60 characters, all of them visible; choose another.\n"
    )
    assert main(["rename", run.id, ""]) == 0
    assert main(["runs", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["name"] is None
