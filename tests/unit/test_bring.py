"""Models of one's own: what is found out about them, what is stored, and what is said of them."""

import json

import numpy as np
import pytest
import torch

from invmask import settings
from invmask.data.budget import budget_size, clean_budget, most_spc, probe
from invmask.data.embedded import load_embedded
from invmask.data.images import FASHION_MNIST, LabelledImages
from invmask.data.own import INFO, is_own, own_folder, own_info, split
from invmask.data.registry import dataset_info, fetch_dataset, load_dataset
from invmask.errors import UserError
from invmask.victims import without_trigger
from invmask.victims.bring import Brought, Choices, Images, new_id
from invmask.victims.forget import forget
from invmask.victims.normalisation import given, trials, usual
from invmask.victims.outputs import another_order, match
from invmask.victims.victim import UNKNOWN, load_victim, read_card
from tests.unit.own_models import bring, bring_in, known_victim, own_images, some_images


def test_a_model_of_ones_own_is_a_victim_of_unknown_attack():
    victim, known = bring_in(), known_victim()
    card = victim.card
    assert (card.attack, card.targets, card.make_attack(), card.is_unknown, card.is_control) == (
        UNKNOWN, None, None, True, False,
    )  # fmt: skip
    assert (card.poisoning_ratio, card.asr, card.ra, card.target_label) == (None, None, None, None)
    assert card.dataset == "own:net-0123abcd"
    assert card.dataset_info.mean == FASHION_MNIST.mean
    images = some_images().tensor()
    torch.testing.assert_close(victim.model(images), known.model(images))
    assert card.acc is not None
    assert card.acc > 0.7
    again = read_card(settings.home() / "victims" / "own-net-0123abcd.json")
    assert again == card


def test_the_parts_are_disjoint_and_hold_every_class():
    bring_in()
    budget, test = (load_embedded("own:net-0123abcd", part) for part in ("budget", "test"))
    assert not set(budget.indices) & set(test.indices)
    assert len(set(budget.images.labels[:8].tolist())) > 3
    assert np.bincount(budget.images.labels).tolist() == np.bincount(test.images.labels).tolist() == [4] * 10
    pixels = some_images().pixels
    assert np.array_equal(budget.images.pixels, pixels[budget.indices])
    assert len(clean_budget("own:net-0123abcd", 3, 0)) == budget_size("own:net-0123abcd", 3) == 30
    assert len(probe("own:net-0123abcd", 2)) == 20


def test_classes_of_unequal_size_are_used_as_they_are():
    labels = np.repeat([0, 1, 2], [20, 20, 1])
    budget, test = split(labels)
    assert np.bincount(labels[budget]).tolist() == [10, 10, 1]
    assert np.bincount(labels[test], minlength=3).tolist() == [10, 10, 0]
    images = some_images(20)
    counts = [20, 20, *[3] * 8]
    places = np.concatenate([np.flatnonzero(images.labels == label)[:n] for label, n in enumerate(counts)])
    of = Images(images.take(places), FASHION_MNIST.classes, "pictures")
    bring(of, "uneven-00000000")
    assert most_spc("own:uneven-00000000") == 10
    drawn = clean_budget("own:uneven-00000000", 10, seed=0)
    assert np.bincount(drawn.labels).tolist() == [10, 10, *[2] * 8]
    assert budget_size("own:uneven-00000000", 10) == len(drawn)
    card = read_card(settings.home() / "victims" / "own-uneven-00000000.json")
    found = Brought.of(card)
    assert found is not None
    assert found.counts == tuple(counts)


def test_without_labels_there_is_agreement_and_no_acc():
    victim = bring_in("plain-00000000", labelled=False)
    assert victim.card.acc is None
    assert not victim.card.dataset_info.labelled
    test = load_embedded(victim.card.dataset, "test").images
    assert np.array_equal(victim.model(test.tensor()).argmax(1).numpy(), test.labels)
    said = without_trigger.missing(victim.card)
    assert said == [without_trigger.NOT_KNOWN, without_trigger.AGREEMENT]


@pytest.mark.parametrize("labelled", [True, False])
def test_the_normalisation_that_it_was_trained_with_is_proposed(labelled: bool):
    victim, images = known_victim(), some_images()
    found = trials(victim.model.network, images, labelled, usual(images))  # type: ignore[arg-type]
    assert found[0].normalisation.mean == FASHION_MNIST.mean or found[0].normalisation.name == "images"
    assert {trial.normalisation.name for trial in found} >= {"none", "half", "bytes", "mnist", "fashionmnist", "images"}


def test_a_given_normalisation_is_checked():
    assert given([0.5], [0.25], 3).mean == (0.5, 0.5, 0.5)
    for mean, std in (([0.5, 0.5], [0.5]), ([0.5], [0.0]), ([float("nan")], [1.0])):
        with pytest.raises(UserError, match=r"channels|above 0"):
            given(mean, std, 3)


def test_classes_are_matched_by_number_by_name_and_by_order():
    assert match(["b", "a"], 2).of_class == (0, 1)
    assert match(["0", "7"], 10).of_class == (0, 7)
    assert match(["cat", "Dog"], 3, ["dog", "bird", "CAT"]).of_class == (2, 0)
    assert match(["T-shirt", "ankle_boot"], 10).of_class == (0, 9)
    assert match([], 3).names == ("output 0", "output 1", "output 2")


@pytest.mark.parametrize(
    ("classes", "outputs", "listed", "said"),
    [
        (["a", "b", "c"], 2, None, "only 2 outputs"),
        (["a", "b"], 7, None, "names in order"),
        (["a", "b"], 3, ["a", "c"], "names 2 outputs"),
        (["a", "b"], 2, ["a", "c"], "does not have 'b'"),
        (["a"], 3, ["a", "a", "b"], "twice"),
    ],
)
def test_what_cannot_be_matched_says_what_to_give(
    classes: list[str], outputs: int, listed: list[str] | None, said: str
):
    with pytest.raises(UserError, match=said):
        match(classes, outputs, listed)


def test_classes_in_another_order_are_recognised():
    assert another_order(np.array([1, 1, 0, 0]), np.array([0, 0, 1, 1])) == ({0: 1, 1: 0}, 1.0)
    assert another_order(np.array([1, 1, 1, 1]), np.array([0, 0, 1, 1])) is None
    images, known = own_images(), known_victim().card.dataset_info.classes
    # Letters, so that they are not matched by the names of the data set; A is the second output, and so on.
    names, place = tuple("ABCDEFGHIJ"), np.roll(np.arange(10), 1)
    turned = Images(LabelledImages(images.images.pixels, place[images.images.labels]), names, "pictures")
    victim = bring(turned, "turned-00000000")
    assert victim.card.acc is not None
    assert victim.card.acc > 0.7
    assert dict(zip(known, victim.card.dataset_info.classes, strict=True))["T-shirt"] == names[place[0]]
    brought = Brought.of(victim.card)
    assert brought is not None
    assert "In order, the network would get" in brought.outputs


def test_a_network_that_does_not_know_the_images_is_stopped_unless_asked_for():
    images = own_images()
    generator = np.random.default_rng(0)
    strange = LabelledImages(generator.integers(0, 256, images.images.pixels.shape, np.uint8), images.images.labels)
    noise = Images(strange, images.classes, "noise")
    with pytest.raises(UserError, match=r"only .* right|to every image"):
        bring(noise, "noise-00000000")
    bring(noise, "noise-00000000", Choices(anyway=True))


def test_names_of_own_data_sets_are_checked_and_damage_is_said():
    for name in ("own:", "own:../x", "own:A", "own:" + "a" * 70):
        with pytest.raises(UserError, match="in small letters"):
            dataset_info(name)
    with pytest.raises(UserError, match="no data set 'own:gone'"):
        dataset_info("own:gone")
    bring_in()
    path = own_folder("own:net-0123abcd") / INFO
    values = json.loads(path.read_text())
    for name, wrong in {"std": [0.0], "mean": [1, 2], "classes": ["one"], "shape": [2, 8, 8]}.items():
        path.write_text(json.dumps({**values, name: wrong}))
        with pytest.raises(UserError, match="is damaged"):
            own_info("own:net-0123abcd")
    assert is_own("own:x")
    assert not is_own("folder:x")


def test_images_of_ones_own_are_no_training_set(tmp_path):
    bring_in()
    for call in (
        lambda: load_dataset("own:net-0123abcd", tmp_path, True),
        lambda: fetch_dataset("own:net-0123abcd", tmp_path),
    ):
        with pytest.raises(UserError, match="no training set"):
            call()


def test_an_id_is_safe_whatever_the_file_is_called():
    assert new_id("ResNet 18 (best)", "0123456789") == "resnet-18-best-01234567"
    assert new_id("../../…", "0123456789") == "model-01234567"
    assert is_own(f"own:{new_id('x' * 300, 'abcdef0123')}")
    own_folder(f"own:{new_id('x' * 300, 'abcdef0123')}")


def test_a_model_is_forgotten_with_its_images():
    victim = bring_in()
    forget(victim.card.name)
    assert not own_folder(victim.card.dataset).exists()
    with pytest.raises(UserError, match="There is no victim"):
        load_victim(victim.card.name, settings.victim_folders())
    with pytest.raises(UserError, match="no model of your own"):
        forget("fashionmnist-cnn4-badnets")
