"""Training goes on from its checkpoint bit for bit, and ends in a victim with its card."""

import copy
import dataclasses
import fcntl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from filelock import FileLock

from invmask.attacks.base import EpochReport, Progress
from invmask.attacks.training.checkpoint import random_state, set_random_state
from invmask.attacks.training.poison_set import PoisonedSet, poison
from invmask.attacks.training.train_victim import TrainingConfig, augment, average, train
from invmask.attacks.triggers.badnets import BadNets
from invmask.augmentation import mixed
from invmask.data.embedded import load_embedded
from invmask.data.images import LabelledImages
from invmask.errors import UserError
from invmask.measure.target_labels import Targets
from invmask.models import Classifier
from invmask.victims import make
from invmask.victims.make import Plan
from invmask.victims.recipe import Stage
from invmask.victims.victim import CLEAN, load_victim, measure, new_model

CPU = torch.device("cpu")
TINY = "preactresnet18w2"
CONFIG = TrainingConfig(epochs=3, batch_size=16, learning_rate=0.05)
ADAMW = dataclasses.replace(CONFIG, learning_rate=0.01, momentum=0.9, optimizer="adamw")


@pytest.fixture(scope="module")
def training_set() -> PoisonedSet:
    images = load_embedded("cifar10", "budget").images
    return poison(images.take((images.labels < 4).nonzero()[0][:72]), BadNets(), 0.1, Targets.all_to_one(0, 10), seed=0)


def tiny_model(seed: int = 0) -> Classifier:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return new_model("cifar10", TINY)


def assert_same_weights(model: Classifier, expected: Classifier) -> None:
    theirs = expected.state_dict()
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, theirs[name]), name


class Interrupted(Exception):
    """Stands for whatever ends a training early."""


def interrupt_at(count: int) -> Callable[..., None]:
    calls = 0

    def call(*_args: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == count:
            raise Interrupted

    return call


@pytest.mark.parametrize("stop", [{"on_epoch": 1}, {"on_epoch": 2}, {"on_step": 3}, {"on_step": 8}], ids=str)
@pytest.mark.parametrize("config", [CONFIG, ADAMW], ids=lambda config: config.optimizer)
def test_training_resumed_equals_training_through(
    stop: dict[str, int], config: TrainingConfig, training_set: PoisonedSet, tmp_path: Path
):
    through = train(tiny_model(), training_set, config, CPU)
    checkpoint = tmp_path / "victim.checkpoint"
    with pytest.raises(Interrupted):
        train(
            tiny_model(),
            training_set,
            config,
            CPU,
            Progress(checkpoint, **{name: interrupt_at(count) for name, count in stop.items()}),
        )
    # Epochs of 5 steps: the third step comes before the first checkpoint, and training starts again.
    assert checkpoint.exists() == (stop != {"on_step": 3})
    resumed = train(tiny_model(), training_set, config, CPU, Progress(checkpoint))
    assert_same_weights(resumed, through)
    assert [path.name for path in tmp_path.iterdir()] == [checkpoint.name]


def test_what_dropout_draws_is_gone_on_with_and_leaves_other_draws_alone(training_set: PoisonedSet, tmp_path: Path):
    def fresh() -> Classifier:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return new_model("cifar10", "mobilenetv3largew8")

    config, checkpoint = dataclasses.replace(CONFIG, epochs=2), tmp_path / "victim.checkpoint"
    assert any(isinstance(module, torch.nn.Dropout) for module in fresh().modules())
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    through = train(fresh(), training_set, config, CPU)
    assert torch.equal(torch.rand(3), expected)
    with pytest.raises(Interrupted):
        train(fresh(), training_set, config, CPU, Progress(checkpoint, interrupt_at(1)))
    assert_same_weights(train(fresh(), training_set, config, CPU, Progress(checkpoint)), through)


def test_a_resumed_training_takes_its_weights_from_the_checkpoint(training_set: PoisonedSet, tmp_path: Path):
    checkpoint = tmp_path / "victim.checkpoint"
    through = train(tiny_model(), training_set, CONFIG, CPU, Progress(checkpoint))
    epochs: list[EpochReport] = []
    other = train(tiny_model(seed=9), training_set, CONFIG, CPU, Progress(checkpoint, epochs.append))
    assert_same_weights(other, through)
    assert epochs == []


def test_a_checkpoint_of_other_settings_is_neither_gone_on_from_nor_lost(training_set: PoisonedSet, tmp_path: Path):
    checkpoint = tmp_path / "victim.checkpoint"
    train(tiny_model(), training_set, dataclasses.replace(CONFIG, epochs=1), CPU, Progress(checkpoint))
    before = checkpoint.read_bytes()
    with pytest.raises(UserError, match=r"is of a training with other settings.*: delete it to begin anew"):
        train(tiny_model(), training_set, CONFIG, CPU, Progress(checkpoint))
    assert checkpoint.read_bytes() == before
    # Of before it was noted what a training is of.
    saved = torch.load(checkpoint, weights_only=True)
    torch.save({"config": dataclasses.asdict(CONFIG), "model": saved["model"]}, checkpoint)
    with pytest.raises(UserError, match="or of an earlier invmask"):
        train(tiny_model(), training_set, CONFIG, CPU, Progress(checkpoint))


@pytest.mark.parametrize("content", [b"", b"PK\3\4junk", b"[]"])
def test_a_damaged_checkpoint_is_named(content: bytes, training_set: PoisonedSet, tmp_path: Path):
    checkpoint = tmp_path / "victim.checkpoint"
    checkpoint.write_bytes(content)
    with pytest.raises(UserError, match=r"victim\.checkpoint is damaged; delete it to begin anew"):
        train(tiny_model(), training_set, CONFIG, CPU, Progress(checkpoint))
    assert checkpoint.read_bytes() == content


def test_random_states_go_on_where_they_were_on_either_device(monkeypatch: pytest.MonkeyPatch):
    gpu = torch.device("cuda:1")
    on_gpu = {gpu: torch.arange(16, dtype=torch.uint8)}
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda device: on_gpu[device].clone())
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state, device: on_gpu.update({device: state}))
    of_cpu, of_gpu = random_state(CPU), random_state(gpu)
    expected = torch.rand(3)
    on_gpu[gpu] = torch.zeros(16, dtype=torch.uint8)
    # Of a training that was begun on the CPU: the device draws on as it would have.
    set_random_state(of_cpu, gpu)
    assert torch.equal(torch.rand(3), expected)
    assert not on_gpu[gpu].any()
    set_random_state(of_gpu, gpu)
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(on_gpu[gpu], torch.arange(16, dtype=torch.uint8))


@pytest.mark.parametrize("config", [CONFIG, ADAMW], ids=lambda config: config.optimizer)
def test_training_reports_steps_and_epochs_and_learns(config: TrainingConfig, training_set: PoisonedSet):
    steps: list[tuple[int, int]] = []
    epochs: list[EpochReport] = []
    model = train(
        tiny_model(),
        training_set,
        dataclasses.replace(config, epochs=40),
        CPU,
        Progress(on_epoch=epochs.append, on_step=lambda step, of: steps.append((step, of))),
    )
    assert steps == [(step, 5) for _ in range(40) for step in range(1, 6)]
    assert [report.epoch for report in epochs] == list(range(1, 41))
    assert epochs[-1].loss < 0.6 * epochs[0].loss
    # After eight epochs it depends on the processor whether it is there yet.
    assert epochs[-1].accuracy > 0.4
    assert not model.training


def test_a_single_image_left_over_goes_with_the_batch_before(
    training_set: PoisonedSet,
):
    sizes: list[int] = []
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 2, 32), torch.nn.BatchNorm2d(2), torch.nn.Flatten(), torch.nn.Linear(2, 10)
    )
    network.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    expected = {72: [16, 16, 16, 16, 8], 66: [16, 16, 16, 16, 2], 65: [16, 16, 16, 17], 17: [17], 16: [16], 9: [9]}
    for count, wanted in expected.items():
        few, steps = PoisonedSet.untouched(training_set.images.take(np.arange(count))), []
        progress = Progress(on_step=lambda step, of, seen=steps: seen.append((step, of)))
        config = dataclasses.replace(CONFIG, epochs=1)
        sizes.clear()
        train(network, few, config, CPU, progress)
        assert sizes == wanted
        assert steps == [(step, len(wanted)) for step in range(1, len(wanted) + 1)]
        average(network, copy.deepcopy(network.state_dict()), few, config)
        assert sizes == 2 * wanted


def test_the_seed_fixes_the_training(training_set: PoisonedSet):
    first, again = (train(tiny_model(), training_set, CONFIG, CPU) for _ in range(2))
    assert_same_weights(first, again)
    other = train(tiny_model(), training_set, dataclasses.replace(CONFIG, seed=1), CPU)
    assert not torch.equal(other.network.linear.weight, first.network.linear.weight)


@pytest.mark.parametrize(("optimizer", "least"), [("sgd", 0.6), ("adamw", 0.8)])
def test_momentum_is_what_the_settings_say(
    optimizer: str, least: float, training_set: PoisonedSet, monkeypatch: pytest.MonkeyPatch
):
    used: list[float] = []
    for kind in (torch.optim.SGD, torch.optim.AdamW):

        def step(self: torch.optim.Optimizer, *_: Any, of: Any = kind.step) -> None:
            (group,) = self.param_groups
            used.append(group["momentum"] if "momentum" in group else group["betas"][0])
            of(self)

        monkeypatch.setattr(kind, "step", step)
    settings = {"learning_rate": 0.01, "momentum": 0.8, "least_momentum": 0.6, "optimizer": optimizer}
    train(tiny_model(), training_set, dataclasses.replace(CONFIG, **settings), CPU)
    assert (used[0], used[-1], min(used)) == pytest.approx((0.8, 0.8, least), abs=0.01)


def test_an_unknown_optimizer_is_refused():
    with pytest.raises(UserError, match="no optimizer 'adam'"):
        dataclasses.replace(CONFIG, optimizer="adam")


def test_augmentation_takes_windows_of_the_padded_image():
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(1, 256, (64, 3, 8, 8), dtype=torch.uint8, generator=generator)
    augmented = augment(images, generator, padding=2, flip=True)
    padded = torch.nn.functional.pad(images, [2] * 4)
    places = set()
    for image, canvas in zip(augmented, padded, strict=True):
        found = {
            (top, left, mirrored)
            for top in range(5)
            for left in range(5)
            for mirrored in (False, True)
            if torch.equal(image.flip(2) if mirrored else image, canvas[:, top : top + 8, left : left + 8])
        }
        assert len(found) == 1
        places |= found
    # 64 draws of 50 places: most differ, and both orientations occur.
    assert len(places) > 25
    assert {mirrored for _, _, mirrored in places} == {False, True}


def test_augmentation_can_be_switched_off():
    images = torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8)
    assert torch.equal(augment(images, torch.Generator(), padding=0, flip=False), images)


def test_mixed_images_are_at_least_half_themselves_and_the_rest_one_other() -> None:
    colours = torch.eye(40).reshape(40, 40, 1, 1).expand(40, 40, 2, 2)
    generator = torch.Generator().manual_seed(0)
    out = torch.stack([mixed(colours, generator, share=0.7)[:, :, 0, 0] for _ in range(50)])
    own = out.diagonal(dim1=1, dim2=2)
    assert float(own.min()) > 0.5
    torch.testing.assert_close(out.sum(2), torch.ones(50, 40))
    assert ((out > 0).sum(2) <= 2).all()
    # 2,000 draws: 70 % are mixed, each with a share from [0, 1/2); the image itself is drawn once in 40 times.
    touched = own < 1
    assert float(touched.float().mean()) == pytest.approx(0.7 * 39 / 40, abs=0.04)
    assert float(own[touched].mean()) == pytest.approx(0.75, abs=0.02)


def test_mixing_can_be_switched_off() -> None:
    images = torch.rand(4, 3, 8, 8)
    assert torch.equal(mixed(images, torch.Generator(), share=0.0), images)


@pytest.fixture
def small_cifar10(monkeypatch: pytest.MonkeyPatch) -> dict[bool, LabelledImages]:
    """Real images, but few, in the place of the full data set."""
    budget, test = load_embedded("cifar10", "budget").images, load_embedded("cifar10", "test").images
    sets = {True: budget.take(slice(0, 80)), False: test.take(slice(0, 60))}  # type: ignore[arg-type]
    monkeypatch.setattr(make, "load_dataset", lambda _, root, train: sets[train])
    return sets


PLAN = Plan("cifar10", TINY, "badnets", called="mine")


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"settings": {"size": 5}},
        {"attack": "blended"},
        {"attack": "bpp"},
        {"poisoning_ratio": 0.2},
        {"target_label": 5},
        {"labels": "all-to-all"},
        {"architecture": "preactresnet18w3"},
    ],
    ids=str,
)
@pytest.mark.usefixtures("small_cifar10")
def test_only_the_same_victim_is_gone_on_with(change: dict[str, Any], tmp_path: Path):
    stages = [Stage(TrainingConfig(epochs=2, batch_size=20))]
    with pytest.raises(Interrupted):
        make.make_victim(PLAN, stages, tmp_path, tmp_path / "out", watched=Progress(on_epoch=interrupt_at(1)))
    plan, resumed = dataclasses.replace(PLAN, **change), []
    if change:
        with pytest.raises(UserError, match="is of a training with other settings"):
            make.make_victim(plan, stages, tmp_path, tmp_path / "out")
        return
    make.make_victim(plan, stages, tmp_path, tmp_path / "out", watched=Progress(on_resume=resumed.append))
    make.make_victim(plan, stages, tmp_path, tmp_path / "new")
    assert resumed == [1]
    made, anew = (load_victim("mine", [tmp_path / folder]).model for folder in ("out", "new"))
    assert_same_weights(made, anew)


@pytest.mark.usefixtures("small_cifar10")
def test_no_two_processes_train_a_victim_at_once(tmp_path: Path):
    stages = [Stage(TrainingConfig(epochs=1, batch_size=20))]
    with FileLock(tmp_path / ".mine.lock"), pytest.raises(UserError, match="Another process is training mine in"):
        make.make_victim(PLAN, stages, tmp_path, tmp_path)
    assert make.make_victim(PLAN, stages, tmp_path, tmp_path).name == "mine"


@pytest.mark.usefixtures("small_cifar10")
def test_who_waits_for_the_end_of_a_training_has_the_lock_that_all_others_see(tmp_path: Path):
    stages = [Stage(TrainingConfig(epochs=1, batch_size=20))]
    lock = tmp_path / ".mine.lock"
    # As another process that has opened the file and waits.
    with lock.open("w") as waiting:
        make.make_victim(PLAN, stages, tmp_path, tmp_path)
        fcntl.flock(waiting, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with pytest.raises(UserError, match="Another process is training mine in"):
            make.make_victim(PLAN, stages, tmp_path, tmp_path)


@pytest.mark.parametrize(
    ("plan", "sentence"),
    [
        (Plan("cifar10", TINY, "badnets", 0.1), "only 7 are of other classes than their target's.* at most 0.0933"),
        (Plan("cifar10", TINY, "bpp", 0.1), "only 7 are of other classes"),
        (Plan("cifar10", TINY, "sig", 0.1, 1, "clean-label"), "only 7 are of the target's class"),
        (Plan("cifar10", TINY, "badnets", 0.006), "poisons none of 75 images; ask for at least 0.013334"),
        (Plan("cifar10", TINY, "iab", 0.006), "poisons none of 75 images"),
        (Plan("cifar10", TINY, "badnets", 7 / 75), None),
        (Plan("cifar10", TINY, "sig", 0.1, 0, "clean-label"), None),
    ],
    ids=str,
)
def test_too_few_images_to_poison_are_told_of(
    plan: Plan, sentence: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    images = load_embedded("cifar10", "budget").images
    few = images.take(np.concatenate([np.flatnonzero(images.labels == 0)[:68], np.flatnonzero(images.labels == 1)[:7]]))
    monkeypatch.setattr(make, "load_dataset", lambda *_, **__: few)
    stages = [Stage(TrainingConfig(epochs=1, batch_size=25))]
    if sentence is None:
        assert make.make_victim(plan, stages, tmp_path, tmp_path / "out").poisoning_ratio == plan.poisoning_ratio
        return
    with pytest.raises(UserError, match=sentence):
        make.make_victim(plan, stages, tmp_path, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == [f".{plan.name}.lock"]


@pytest.mark.parametrize("attack_name", ["badnets", CLEAN])
def test_a_victim_is_made_with_its_card(attack_name: str, small_cifar10: dict[bool, LabelledImages], tmp_path: Path):
    epochs: list[EpochReport] = []
    stages = [Stage(TrainingConfig(epochs=2, batch_size=20)), Stage(TrainingConfig(epochs=1, batch_size=20, seed=1))]
    plan = Plan("cifar10", TINY, attack_name)
    card = make.make_victim(plan, stages, tmp_path / "data", tmp_path / "out", watched=Progress(on_epoch=epochs.append))
    assert card.name == f"cifar10-{TINY}-{attack_name}"
    assert [report.epoch for report in epochs] == [1, 2, 1]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        f".{card.name}.lock",
        f"{card.name}.json",
        f"{card.name}.safetensors",
    ]
    victim = load_victim(card.name, [tmp_path / "out"])
    assert victim.card == card
    again = measure(victim.model, small_cifar10[False], card.make_attack(), card.targets)
    assert (again.acc, again.asr, again.ra) == (card.acc, card.asr, card.ra)
    assert card.n_test == 60
    assert card.n_triggered == (again.n_triggered or None)
    assert (card.target_label, card.poisoning_ratio) == ((None, 0.0) if attack_name == CLEAN else (0, 0.1))
    assert [stage["epochs"] for stage in card.training["stages"]] == [2, 1]
    assert card.training["device"] == "cpu"
    assert card.versions["torch"] == torch.__version__


def test_averaging_meets_halfway_and_estimates_the_statistics_anew(training_set: PoisonedSet):
    model, other = tiny_model(0).eval(), tiny_model(1).eval()
    weight, theirs = (m.state_dict()["network.conv1.weight"].clone() for m in (model, other))
    before = model.network.layer1[0].bn1.running_mean.clone()
    average(model, other.state_dict(), training_set, CONFIG)
    torch.testing.assert_close(model.state_dict()["network.conv1.weight"], (weight + theirs) / 2)
    assert not torch.equal(model.network.layer1[0].bn1.running_mean, before)
    assert not model.training


def test_a_stage_may_end_between_its_start_and_its_end(
    training_set: PoisonedSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(make, "load_dataset", lambda *_, **__: training_set.images)
    stages = [Stage(CONFIG), Stage(dataclasses.replace(CONFIG, seed=1))]
    make_again = [*stages[:1], dataclasses.replace(stages[1], average=True)]
    weights = []
    for number, recipe in enumerate(([stages[0]], stages, make_again)):
        folder = tmp_path / str(number)
        make.make_victim(Plan("cifar10", TINY, "badnets"), recipe, tmp_path, folder)
        (file,) = folder.glob("*.safetensors")
        weights.append(load_victim(file.stem, [folder]).model.state_dict()["network.conv1.weight"])
    torch.testing.assert_close(weights[2], (weights[0] + weights[1]) / 2)
