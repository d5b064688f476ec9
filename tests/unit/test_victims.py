"""Victims are stored and read without trust, and the embedded ones measure as their cards say."""

import contextlib
import dataclasses
import errno
import hashlib
import json
import math
import os
import pickle
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from invmask.attacks.registry import ATTACKS, make_attack
from invmask.attacks.triggers.badnets import BadNets
from invmask.attacks.triggers.drawn import DrawnTrigger
from invmask.attacks.triggers.picture import PictureTrigger
from invmask.attacks.triggers.ssba import SSBA
from invmask.data.embedded import ASSETS, load_embedded
from invmask.data.images import LabelledImages
from invmask.errors import UserError
from invmask.measure.target_labels import Targets
from invmask.models import Classifier
from invmask.runs.store.staleness import victim_digest, weights_digest
from invmask.settings import BENCHMARKS
from invmask.victims import victim as victims
from invmask.victims.victim import (
    CLEAN,
    USUAL_RATIO,
    VictimCard,
    find_cards,
    load_victim,
    measure,
    new_model,
    read_card,
    save_victim,
    versions,
    victim_name,
)

TINY = "preactresnet18w2"
EMBEDDED = ASSETS / "victims"
OF_BENCHMARKS = BENCHMARKS / "victims"
EXPECTED = {
    victim_name("cifar10", "preactresnet18w16", attack)
    for attack in {*ATTACKS, CLEAN} - {PictureTrigger.name, DrawnTrigger.name}
} | {
    *(
        victim_name("cifar10", "preactresnet18w16", attack, ratio)
        for attack in ("badnets", "blended")
        for ratio in (0.05, 0.01)
    ),
    victim_name("cifar10", "vgg19bnw16", "badnets"),
    victim_name("cifar10", "mobilenetv3largew8", "badnets"),
    victim_name("cifar10", "efficientnetb3w8", "badnets"),
    victim_name("cifar10", "vitw64", "badnets"),
    victim_name("fashionmnist", "cnn4", "badnets"),
}
# What slim networks of other kinds reach; 90 % else.
LEAST_ACC = {"vgg19bnw16": 0.86, "mobilenetv3largew8": 0.84, "efficientnetb3w8": 0.81, "vitw64": 0.79}


def tiny_model(seed: int = 0) -> Classifier:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return new_model("cifar10", TINY)


def assert_same_weights(model: Classifier, expected: Classifier) -> None:
    theirs = expected.state_dict()
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, theirs[name]), name


def make_card(name: str = victim_name("cifar10", TINY, "badnets"), **changes: Any) -> VictimCard:
    card = VictimCard(
        name=name,
        dataset="cifar10",
        architecture=TINY,
        attack="badnets",
        poisoning_ratio=0.1,
        target_label=0,
        acc=0.9,
        asr=0.97,
        ra=0.02,
        n_test=10_000,
        attack_settings=BadNets().settings(),
        training={"epochs": 3},
        versions=versions(),
        machine="a processor",
    )
    return dataclasses.replace(card, **changes)


def test_a_victim_comes_back_as_it_was_stored(tmp_path: Path):
    model, card = tiny_model().eval(), make_card()
    save_victim(tmp_path, card, model)
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json", ".safetensors"]
    assert find_cards([tmp_path]) == {card.name: tmp_path / f"{card.name}.json"}
    victim = load_victim(card.name, [tmp_path])
    assert victim.card == card
    assert victim.card.make_attack() == BadNets()
    assert_same_weights(victim.model, model)
    assert not victim.model.training
    assert not any(parameter.requires_grad for parameter in victim.model.parameters())


class Killed(BaseException):
    """Stands for the end of the process: nothing after it comes about."""


class Disk:
    """Counts what is done to files, and refuses everything from one step on, or that step alone."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, step: int, error: BaseException, for_good: bool):
        self.taken, self.step, self.error, self.for_good = 0, step, error, for_good
        for owner, name in ((Path, "open"), (os, "fsync"), (Path, "replace"), (Path, "unlink")):
            monkeypatch.setattr(owner, name, self._counted(getattr(owner, name)))

    def _counted(self, real):
        def counted(*given, **how):
            reads = real is OPEN and len(given) == 1
            if reads or str(given[0]).endswith(".lock"):
                return real(*given, **how)
            self.taken += 1
            if self.taken == self.step or (self.for_good and self.taken > self.step):
                raise self.error
            return real(*given, **how)

        return counted


OPEN = Path.open


def networked(seed: int, acc: float) -> tuple[VictimCard, Classifier, SSBA]:
    """A victim of three files; all of them depend on `seed`, by which the whole is known again."""
    attack = make_attack("ssba", {"width": 4, "prepare_epochs": 1, "seed": seed})
    assert isinstance(attack, SSBA)
    return make_card(attack="ssba", acc=acc, attack_settings=attack.settings()), tiny_model(seed), attack


def is_whole(folder: Path, seed: int, acc: float) -> bool:
    """Whether the victim there is `networked(seed, acc)`; fails if it is a mixture."""
    card, model, attack = networked(seed, acc)
    found = load_victim(card.name, [folder])
    if found.card.acc != acc:
        return False
    assert_same_weights(found.model, model)
    again = found.card.make_attack()
    assert isinstance(again, SSBA)
    theirs = attack.tensors()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in again.tensors().items())
    return True


@pytest.mark.parametrize("error", [Killed(), OSError(errno.ENOSPC, "No space left on device")], ids=["kill", "full"])
def test_at_whatever_step_storing_ends_the_old_victim_or_the_new_one_is_there_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
):
    outcomes = []
    for step in range(1, 100):
        folder = tmp_path / str(step)
        save_victim(folder, *networked(0, 0.5))
        with monkeypatch.context() as patched:
            disk = Disk(patched, step, error, for_good=isinstance(error, Killed))
            with contextlib.suppress(Killed, OSError):
                save_victim(folder, *networked(1, 0.6))
        old, new = is_whole(folder, 0, 0.5), is_whole(folder, 1, 0.6)
        assert old != new
        outcomes.append(new)
        # What was left behind hinders nobody, and goes.
        save_victim(folder, *networked(2, 0.7))
        assert is_whole(folder, 2, 0.7)
        assert len([path for path in folder.iterdir() if not path.name.endswith(".lock")]) == 3
        if disk.taken < step:
            break
    else:
        pytest.fail("it never ended")
    # Of each file three steps at least; only with the card's last one the new victim is there.
    assert outcomes[:8] == [False] * 8
    assert outcomes == sorted(outcomes)


def test_a_first_victim_that_was_not_stored_whole_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    card = make_card()
    with monkeypatch.context() as patched:
        Disk(patched, 5, Killed(), for_good=True)
        with pytest.raises(Killed):
            save_victim(tmp_path, card, tiny_model())
    assert (tmp_path / f"{card.name}.safetensors").exists()
    assert find_cards([tmp_path]) == {}
    save_victim(tmp_path, card, tiny_model(1))
    assert_same_weights(load_victim(card.name, [tmp_path]).model, tiny_model(1))
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json", ".safetensors"]


def test_two_who_store_a_victim_at_once_do_not_mix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    real, inside, most = victims.disk.write_bytes, [], []

    def slow(path: Path, content: bytes) -> None:
        inside.append(path)
        most.append(len(inside))
        time.sleep(0.02)
        real(path, content)
        inside.remove(path)

    monkeypatch.setattr(victims.disk, "write_bytes", slow)
    prepared = [networked(seed, acc) for seed, acc in ((0, 0.5), (1, 0.6), (2, 0.7))]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda of: save_victim(tmp_path, *of), prepared))
    assert len(most) == 9
    assert max(most) == 1
    assert [is_whole(tmp_path, seed, acc) for seed, acc in ((0, 0.5), (1, 0.6), (2, 0.7))].count(True) == 1
    assert len([path for path in tmp_path.iterdir() if not path.name.endswith(".lock")]) == 3


def test_who_reads_a_victim_while_it_is_replaced_reads_one_of_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    save_victim(tmp_path, *networked(0, 0.5))
    real, looked = victims.weights_path, []

    def replaced_meanwhile(path: Path) -> Path:
        found = real(path)
        if not looked:
            looked.append(path)
            save_victim(tmp_path, *networked(1, 0.6))
        return found

    monkeypatch.setattr(victims, "weights_path", replaced_meanwhile)
    assert is_whole(tmp_path, 1, 0.6)


def test_a_victim_that_took_anothers_place_is_known_by_its_own_weights(tmp_path: Path):
    known = []
    for seed in (0, 1, 2):
        card = save_victim(tmp_path, make_card(), tiny_model(seed))
        weights = victims.weights_path(tmp_path / f"{card.name}.json")
        assert weights_digest(card.name, [tmp_path]) == hashlib.sha256(weights.read_bytes()).hexdigest()
        known.append((weights_digest(card.name, [tmp_path]), victim_digest(card.name, [tmp_path])))
    assert [len(set(digests)) for digests in zip(*known, strict=True)] == [3, 3]


def test_a_card_sends_nobody_to_weights_elsewhere(tmp_path: Path):
    save_victim(tmp_path, make_card(), tiny_model())
    path = tmp_path / f"{make_card().name}.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "weights_file": "../elsewhere.safetensors"}))
    with pytest.raises(UserError, match="not a victim's card"):
        load_victim(make_card().name, [tmp_path])


def test_a_clean_control_has_no_attack():
    card = make_card(attack=CLEAN, poisoning_ratio=0.0, target_label=None, asr=None, ra=None, attack_settings={})
    assert card.make_attack() is None


def test_the_first_folder_that_has_a_victim_wins(tmp_path: Path):
    own, shipped = tmp_path / "own", tmp_path / "shipped"
    save_victim(own, make_card(acc=0.5), tiny_model())
    save_victim(shipped, make_card(acc=0.9), tiny_model())
    assert load_victim(make_card().name, [own, shipped]).card.acc == 0.5
    assert load_victim(make_card().name, [tmp_path / "none", shipped]).card.acc == 0.9


def test_an_unknown_victim_is_refused_and_the_known_ones_named(tmp_path: Path):
    with pytest.raises(UserError, match="There is no victim 'nobody'; choose one of: none yet"):
        load_victim("nobody", [tmp_path])
    save_victim(tmp_path, make_card(), tiny_model())
    with pytest.raises(UserError, match=f"choose one of: {make_card().name}"):
        load_victim("../../etc/passwd", [tmp_path])


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "3",
        '"text"',
        '{"name": "alone"}',
        json.dumps({**dataclasses.asdict(make_card()), "extra": 1}),
        json.dumps({**dataclasses.asdict(make_card()), "target_label": 10}),
        json.dumps({**dataclasses.asdict(make_card()), "target_label": None}),
        json.dumps({**dataclasses.asdict(make_card()), "labels": "none"}),
        " " * (1 << 20) + json.dumps(dataclasses.asdict(make_card())),
    ],
    ids=[
        "empty",
        "cut off",
        "list",
        "number",
        "text",
        "missing keys",
        "unknown key",
        "no such label",
        "no target",
        "no such labels",
        "too large",
    ],
)
def test_what_is_no_card_is_refused(content: str, tmp_path: Path):
    path = tmp_path / "card.json"
    path.write_text(content)
    with pytest.raises(UserError, match=r"card\.json is not a victim's card"):
        read_card(path)


class Unpickled(Exception):
    """Raised by what a pickle runs when it is read."""


class Trap:
    def __reduce__(self) -> tuple[Any, ...]:
        return _spring, ()


def _spring() -> None:
    raise Unpickled


def test_the_trap_springs_for_whoever_unpickles(tmp_path: Path):
    torch.save({"conv1.weight": Trap()}, tmp_path / "trap.pt")
    with pytest.raises(Unpickled):
        torch.load(tmp_path / "trap.pt", weights_only=False)


@pytest.mark.parametrize("kind", ["missing", "empty", "pickle", "torch", "cut off", "other width", "other names"])
def test_weights_that_do_not_fit_are_refused_and_never_unpickled(kind: str, tmp_path: Path):
    card = make_card()
    save_victim(tmp_path, card, tiny_model())
    path = tmp_path / f"{card.name}.safetensors"
    stored = load_file(path)
    if kind == "missing":
        path.unlink()
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "pickle":
        path.write_bytes(pickle.dumps({"conv1.weight": Trap()}))
    elif kind == "torch":
        torch.save({"conv1.weight": Trap()}, path)
    elif kind == "cut off":
        path.write_bytes(path.read_bytes()[:-100])
    elif kind == "other width":
        save_file(new_model("cifar10", "preactresnet18w3").network.state_dict(), path)
    else:
        save_file({f"module.{name}": tensor for name, tensor in stored.items()}, path)
    with pytest.raises(UserError, match=f"does not hold the weights of a {TINY}"):
        load_victim(card.name, [tmp_path])


def test_a_card_of_an_unknown_data_set_or_architecture_is_refused(tmp_path: Path):
    save_victim(tmp_path, make_card("one", dataset="svhn"), tiny_model())
    save_victim(tmp_path, make_card("two", architecture="vgg19"), tiny_model())
    with pytest.raises(UserError, match="no data set 'svhn'"):
        load_victim("one", [tmp_path])
    with pytest.raises(UserError, match="no architecture 'vgg19'"):
        load_victim("two", [tmp_path])


def test_measuring_takes_asr_and_ra_over_the_other_classes(narrow: Classifier, test_images: LabelledImages):
    measures = measure(narrow, test_images, BadNets(), Targets.all_to_one(0, 10))
    assert measures.n_clean == 100
    assert measures.n_triggered == int((test_images.labels != 0).sum())
    clean = measure(narrow, test_images, None, None)
    assert (clean.acc, clean.asr, clean.ra, clean.n_triggered) == (measures.acc, None, None, 0)


def test_a_victim_of_every_published_attack_comes_with_the_repository():
    assert set(find_cards([EMBEDDED])) >= EXPECTED


@pytest.fixture(params=sorted(set(find_cards([EMBEDDED])) | EXPECTED))
def embedded_name(request: pytest.FixtureRequest) -> str:
    return request.param


def test_an_embedded_victim_is_as_good_and_as_bad_as_asked(embedded_name: str):
    card = load_victim(embedded_name, [EMBEDDED]).card
    target = card.target_label or 0
    name = victim_name(
        card.dataset, card.architecture, card.attack, card.poisoning_ratio or USUAL_RATIO, target, card.labels
    )
    assert card.name == embedded_name == name
    assert card.n_test == 10_000
    assert card.acc >= LEAST_ACC.get(card.architecture, 0.90)
    assert "device" in card.training
    for stage in card.training["stages"]:
        assert {"epochs", "batch_size", "learning_rate", "seed", "seconds", "poisoned"} <= set(stage)
    assert {"python", "torch", "torchvision"} <= set(card.versions)
    if card.attack == CLEAN:
        assert (card.asr, card.ra, card.target_label, card.poisoning_ratio) == (None, None, None, 0.0)
        return
    assert card.asr is not None
    assert card.ra is not None
    least = 0.94 if card.architecture == "vitw64" else 0.95
    strong = card.attack in ("badnets", "blended") and card.poisoning_ratio == USUAL_RATIO
    assert card.asr >= (least if strong else 0.90)
    assert card.ra + card.asr <= 1 + 1e-9
    assert (card.target_label, card.labels) == (0, "all-to-one")


@pytest.mark.parametrize("name", sorted(set(find_cards([EMBEDDED, OF_BENCHMARKS])) | EXPECTED))
def test_a_victim_that_comes_along_measures_as_its_card_says(name: str):
    victim = load_victim(name, [EMBEDDED, OF_BENCHMARKS])
    card = victim.card
    assert all(tensor.isfinite().all() for tensor in victim.model.state_dict().values())
    test = load_embedded(card.dataset, "test").images
    measured = measure(victim.model, test, card.make_attack(), card.targets)
    assert within_sampling_error(measured.acc, card.acc, 2_000)
    if card.asr is not None and card.ra is not None:
        assert measured.n_triggered == 1_800
        assert measured.asr is not None
        assert measured.ra is not None
        assert within_sampling_error(measured.asr, card.asr, 1_800)
        assert within_sampling_error(measured.ra, card.ra, 1_800)


def within_sampling_error(share: float, expected: float, n: int) -> bool:
    """Within four standard deviations of a share of `n` images, and one image more where these are nothing."""
    return abs(share - expected) <= 4 * math.sqrt(expected * (1 - expected) / n) + 1 / n


def test_all_that_is_embedded_stays_small():
    assert sum(path.stat().st_size for path in ASSETS.rglob("*")) < 80_000_000
