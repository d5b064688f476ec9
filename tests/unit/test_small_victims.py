"""Small victims: their specification, training in pieces, and what a worker leaves on disk."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from invmask import settings
from invmask.errors import UserError
from invmask.runs.cluster.executor import Executor
from invmask.runs.store import files
from invmask.runs.store.all_runs import RunStore
from invmask.runs.store.trainings import KEPT, STATUS, Training, home_trainings, lab_victims
from invmask.runs.work import train_small_victim as work
from invmask.runs.work.advance import Outcome
from invmask.victims.small_victim import LAB_ATTACKS, SmallVictim, missing_images, poisoned_images
from invmask.victims.victim import load_victim
from tests.unit.test_executor import wait

SPEC = SmallVictim(width=8, epochs=3)


def weights(training: Training) -> str:
    return hashlib.sha256((training.path / f"{training.id}.safetensors").read_bytes()).hexdigest()


def made(home: Path, spec: SmallVictim = SPEC, seconds: float | None = None) -> Training:
    training = replace(home_trainings(), home=home).request(spec)
    while (outcome := work.train_small_victim(training.path, seconds)) is Outcome.MORE:
        pass
    assert outcome is Outcome.IDLE, training.problem()
    return training


def test_the_same_specification_makes_the_same_victim_however_the_work_is_divided(tmp_path: Path):
    whole, pieces = made(tmp_path / "a"), made(tmp_path / "b", seconds=0.0)
    assert weights(whole) == weights(pieces)
    assert [each.measures for each in whole.epochs()] == [each.measures for each in pieces.epochs()]
    assert [each.epoch for each in pieces.epochs()] == [1, 2, 3]
    other = made(tmp_path / "c", replace(SPEC, seed=1))
    assert other.id != whole.id
    assert weights(other) != weights(whole)


def test_a_small_victim_is_listed_with_its_specification_and_measures(own_home: Path):
    training = made(own_home)
    victim = load_victim(training.id, settings.victim_folders())
    assert SmallVictim.from_json(victim.card.training["small_victim"]).name == training.id
    last = training.epochs()[-1].measures
    assert (victim.card.acc, victim.card.asr) == (last.acc, last.asr)
    assert victim.card.n_test == 2000
    assert victim.card.n_triggered == 1800
    assert list(lab_victims(own_home)) == [training.id]
    assert not list(training.path.glob("*.checkpoint"))


def test_a_backdoor_takes(own_home: Path):
    last = made(own_home, replace(SPEC, attack="badnets", epochs=16)).epochs()[-1].measures
    assert last.acc > 0.6
    assert last.asr is not None
    assert last.asr > 0.7


def test_a_stopped_training_goes_on_where_it_was(own_home: Path):
    store, training = home_trainings(), home_trainings().request(SPEC)
    assert work.train_small_victim(training.path, 0.0) is Outcome.MORE
    store.stop(training.id)
    assert not training.has_work()
    assert work.train_small_victim(training.path, 0.0) is Outcome.IDLE
    assert len(training.epochs()) == 1
    store.request(SPEC)
    assert work.train_small_victim(training.path) is Outcome.IDLE
    assert len(training.epochs()) == 3
    assert weights(training) == weights(made(own_home / "again"))


def test_an_epoch_that_a_killed_worker_measured_is_taken_again(own_home: Path):
    training = home_trainings().request(SPEC)
    work.train_small_victim(training.path, 0.0)
    first = training.epochs()
    (checkpoint,) = training.path.glob("*.checkpoint")
    kept = checkpoint.read_bytes()
    work.train_small_victim(training.path, 0.0)
    checkpoint.write_bytes(kept)
    work.train_small_victim(training.path)
    assert [each.epoch for each in training.epochs()] == [1, 2, 3]
    assert training.epochs()[0] == first[0]
    assert weights(training) == weights(made(own_home / "again"))


def test_a_victim_for_a_curve_is_not_listed_until_it_is_kept(own_home: Path):
    store = home_trainings()
    training = store.request(SPEC, keep=False)
    work.train_small_victim(training.path)
    assert training.is_made()
    assert lab_victims(own_home) == {}
    store.request(SPEC)
    assert training.has_work()
    work.train_small_victim(training.path)
    assert list(lab_victims(own_home)) == [training.id]


def test_deleting_leaves_nothing(own_home: Path):
    training = made(own_home)
    home_trainings().delete(training.id)
    assert not training.path.exists()
    assert not list((own_home / "victims").iterdir())
    home_trainings().delete(training.id)
    home_trainings().delete("../victims")


def test_a_worker_that_is_killed_again_and_again_says_so_and_can_be_asked_again():
    training = home_trainings().request(SPEC)
    files.write_json(training.path / work.AT_WORK, {"losses": 3})
    assert work.train_small_victim(training.path) is Outcome.FAILED
    assert "killed 3 times" in (training.problem() or "")
    assert not training.has_work()
    home_trainings().request(SPEC)
    assert training.has_work()


def test_damaged_files_give_one_sentence():
    training = home_trainings().request(SPEC)
    (training.path / "spec.json").write_text("[")
    assert work.train_small_victim(training.path) is Outcome.FAILED
    assert "is damaged; delete it and train it again" in (training.problem() or "")
    for name in ("epochs.json", STATUS):
        (training.path / name).write_text("{")
    assert training.epochs() == ()
    assert training.problem() is None


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"dataset": "imagenet"}, "data set has to be one of"),
        ({"attack": "ssba"}, "The lab has no attack 'ssba'"),
        ({"attack": "watnet"}, "The lab has no attack"),
        ({"images": 60_000}, "number of training images has to be one of"),
        ({"width": 64}, "width has to be one of 8, 16, 32"),
        ({"epochs": 61}, "number of epochs has to be a whole number from 1 to 60"),
        ({"epochs": True}, "number of epochs"),
        ({"seed": -1}, "seed has to be"),
        ({"target_label": 10}, "target label has to be a whole number from 0 to 9"),
        ({"poisoning_ratio": 0.0001}, "from 0.1 % (one of 1,000 images) to 50 %"),
        ({"poisoning_ratio": float("nan")}, "poisoning ratio has to be"),
        ({"poisoning_ratio": "x"}, "poisoning ratio has to be"),
        ({"settings": {"pixels": "k", "opacity": 0.01, "top": 0, "left": 0, "x": 1}}, "has no setting 'x'"),
        ({"settings": {"pixels": "w./."}}, "A drawn trigger is 1 to 16 rows"),
        ({"settings": {"pixels": "..."}}, "Nothing is drawn yet"),
        ({"attack": "blended", "settings": {"alpha": 0, "seed": 1}}, "changes no pixel"),
        ({"unknown": 1}, "not the specification"),
    ],
)
def test_what_is_out_of_range_is_refused_in_a_sentence(change: dict, sentence: str):
    with pytest.raises(UserError, match=sentence.replace("(", r"\(").replace(")", r"\)")):
        SmallVictim.from_json({**SPEC.as_json(), **change})


def test_a_specification_survives_json_and_its_name_is_that_of_equal_values():
    stored = json.loads(json.dumps(SPEC.as_json()))
    assert SmallVictim.from_json(stored).name == SPEC.name
    whole = replace(SPEC, settings={"opacity": 1})
    assert whole.name == replace(SPEC, settings={"opacity": 1.0}).name == SPEC.name
    assert replace(SPEC, settings={"opacity": 0.5}).name != SPEC.name


@pytest.mark.parametrize("attack", LAB_ATTACKS)
def test_every_attack_of_the_lab_shows_its_poisoned_images(attack: str):
    spec = SmallVictim(dataset="cifar10", attack=attack, poisoning_ratio=0.02, target_label=3)
    spec.check()
    found = poisoned_images(spec)
    assert found.poisoned.sum() == 20
    assert set(found.images.labels[found.poisoned]) == {3}


def test_more_images_need_the_full_data_set_and_the_sentence_says_how_to_get_it():
    large = replace(SPEC, images=5000)
    sentence = missing_images(large)
    assert sentence is not None
    assert "python -m invmask data fashionmnist" in sentence
    training = home_trainings().request(large)
    assert work.train_small_victim(training.path) is Outcome.FAILED
    assert sentence in (training.problem() or "")
    assert missing_images(SPEC) is None


def test_a_worker_of_the_executor_trains(own_home: Path):
    executor = Executor(RunStore(own_home / "runs"), workers=1, threads=1).start()
    try:
        training = executor.train(SPEC)
        wait(training.is_stored, "the victim")
        wait(lambda: not home_trainings().marked(), "the mark's removal")
        assert executor.problem is None
    finally:
        executor.close()
    assert weights(training) == weights(made(own_home / "again"))
    assert (training.path / KEPT).is_file()
