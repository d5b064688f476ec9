"""Every data set's loader on a small directory in exactly the original form, and what is said where there is none."""

import gzip
import hashlib
import json
import pickle
import shutil
import struct
import urllib.error
from pathlib import Path

import numpy as np
import pytest
import torchvision
from PIL import Image

from invmask.data import cifar10, embedded, folders, torchvision_sets
from invmask.data import prepare as prepare_module
from invmask.data.budget import clean_budget, probe
from invmask.data.classes import TINY_IMAGENET as TINY_NAMES
from invmask.data.embedded import is_embedded, load_embedded, write_part
from invmask.data.images import CIFAR100, DATASETS, FASHION_MNIST, GTSRB, MNIST, TINY_IMAGENET, LabelledImages
from invmask.data.prepare import prepare
from invmask.data.registry import dataset_info, fetch_dataset, is_fetched, load_dataset, read
from invmask.errors import UserError


def draw(count: int, shape: tuple[int, ...], classes: int, seed: int) -> LabelledImages:
    generator = np.random.default_rng(seed)
    pixels = generator.integers(0, 256, (count, *shape), dtype=np.uint8)
    return LabelledImages(pixels, np.arange(count) % classes)


def write_cifar100(root: Path, parts: dict[str, LabelledImages], monkeypatch: pytest.MonkeyPatch) -> None:
    """cifar-100-python: a pickle a part, three planes of 1,024 bytes an image."""
    folder, sums = root / "cifar-100-python", {}
    folder.mkdir(parents=True)
    names = {"fine_label_names": list(CIFAR100.classes), "coarse_label_names": []}
    contents = {part: (images.pixels.transpose(0, 3, 1, 2), images.labels) for part, images in parts.items()}
    for name in ("train", "test", "meta"):
        if name == "meta":
            raw = pickle.dumps(names)
        else:
            planes, labels = contents[name]
            raw = pickle.dumps({"data": planes.reshape(len(planes), -1), "fine_labels": labels.tolist()})
        (folder / name).write_bytes(raw)
        sums[name] = hashlib.md5(raw).hexdigest()
    source = torchvision.datasets.CIFAR100
    monkeypatch.setattr(source, "train_list", [("train", sums["train"])])
    monkeypatch.setattr(source, "test_list", [("test", sums["test"])])
    monkeypatch.setattr(source, "meta", {"filename": "meta", "key": "fine_label_names", "md5": sums["meta"]})


def idx(array: np.ndarray) -> bytes:
    """The IDX format: magic with type and rank, sizes as big-endian 32 bits, bytes."""
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


def idx_files(parts: dict[str, LabelledImages]) -> dict[str, bytes]:
    names = {"train": "train", "test": "t10k"}
    return {
        f"{names[part]}-{kind}": idx(array)
        for part, images in parts.items()
        for kind, array in (("images-idx3-ubyte", images.pixels[..., 0]), ("labels-idx1-ubyte", images.labels))
    }


def write_mnist(root: Path, parts: dict[str, LabelledImages], folder: str) -> None:
    raw = root / folder / "raw"
    raw.mkdir(parents=True)
    for name, content in idx_files(parts).items():
        (raw / name).write_bytes(content)


def write_gtsrb(root: Path, parts: dict[str, LabelledImages]) -> None:
    """PPM pictures: a folder a class to train on, one folder and a table to test on."""
    for place, (pixels, label) in enumerate(zip(parts["train"].pixels, parts["train"].labels, strict=True)):
        folder = root / "gtsrb" / "GTSRB" / "Training" / f"{label:05d}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{place:05d}_00000.ppm")
    folder = root / "gtsrb" / "GTSRB" / "Final_Test" / "Images"
    folder.mkdir(parents=True)
    rows = ["Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId"]
    for place, (pixels, label) in enumerate(zip(parts["test"].pixels, parts["test"].labels, strict=True)):
        Image.fromarray(pixels).save(folder / f"{place:05d}.ppm")
        rows.append(f"{place:05d}.ppm;32;32;0;0;31;31;{label}")
    (root / "gtsrb" / "GT-final_test.csv").write_text("\n".join(rows) + "\n")


WNIDS = [f"n{7 * place + 1:08d}" for place in range(200)]


def write_tiny(root: Path, parts: dict[str, LabelledImages]) -> None:
    """JPEG pictures: train/WNID/images and one folder with a table to validate on."""
    folder = root / "tiny-imagenet-200"
    folder.mkdir(parents=True)
    # The file lists them in no order.
    (folder / "wnids.txt").write_text("\n".join(reversed(WNIDS)) + "\n")
    for place, (pixels, label) in enumerate(zip(parts["train"].pixels, parts["train"].labels, strict=True)):
        images = folder / "train" / WNIDS[label] / "images"
        images.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(images / f"{WNIDS[label]}_{place}.JPEG", quality=100, subsampling=0)
    images, rows = folder / "val" / "images", []
    images.mkdir(parents=True)
    for place, (pixels, label) in enumerate(zip(parts["test"].pixels, parts["test"].labels, strict=True)):
        # Some pictures of the set are grey.
        picture = Image.fromarray(pixels).convert("L" if place == 0 else "RGB")
        picture.save(images / f"val_{place}.JPEG", quality=100, subsampling=0)
        rows.append(f"val_{place}.JPEG\t{WNIDS[label]}\t0\t0\t63\t63")
    (folder / "val" / "val_annotations.txt").write_text("\n".join(rows) + "\n")


def write(name: str, root: Path, parts: dict[str, LabelledImages], monkeypatch: pytest.MonkeyPatch) -> None:
    if name == "cifar100":
        write_cifar100(root, parts, monkeypatch)
    elif name in ("mnist", "fashionmnist"):
        write_mnist(root, parts, {"mnist": "MNIST", "fashionmnist": "FashionMNIST"}[name])
    elif name == "gtsrb":
        write_gtsrb(root, parts)
    else:
        write_tiny(root, parts)


def parts_of(name: str) -> dict[str, LabelledImages]:
    channels, height, width = DATASETS[name].shape
    classes = min(len(DATASETS[name].classes), 12)
    shape = (height, width, channels)
    return {"train": draw(24, shape, classes, 0), "test": draw(12, shape, classes, 1)}


OTHERS = sorted(set(DATASETS) - {"cifar10"})


@pytest.mark.parametrize("name", OTHERS)
def test_the_original_files_are_read(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    parts = parts_of(name)
    write(name, tmp_path, parts, monkeypatch)
    for part, expected in parts.items():
        found = read(DATASETS[name], tmp_path, part == "train")
        assert found.pixels.shape == expected.pixels.shape
        assert found.pixels.flags.c_contiguous
        places = range(len(expected))
        if part == "train" and name in ("gtsrb", "tinyimagenet"):
            # A folder a class, and files in the order of their names.
            name_of = "{:05d}" if name == "gtsrb" else "{}."
            places = sorted(places, key=lambda place: (expected.labels[place], name_of.format(place)))
        order = np.array(places)
        assert found.labels.tolist() == expected.labels[order].tolist()
        if name == "tinyimagenet":
            # JPEG is lossy, but not by much at full quality; the first test image is a grey one.
            first = 1 if part == "test" else 0
            difference = found.pixels[first:].astype(int) - expected.pixels[order][first:]
            assert np.abs(difference).mean() < 4
        else:
            np.testing.assert_array_equal(found.pixels, expected.pixels[order])


@pytest.mark.parametrize("name", OTHERS)
def test_a_small_set_does_not_pass_for_the_published_one(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write(name, tmp_path, parts_of(name), monkeypatch)
    with pytest.raises(UserError, match=f"This is not {DATASETS[name].title}: 12 images instead of"):
        load_dataset(name, tmp_path, train=False)


@pytest.mark.parametrize("name", OTHERS)
def test_a_set_that_is_not_there_says_how_to_get_it(name: str, tmp_path: Path):
    with pytest.raises(UserError, match=rf"is not in {tmp_path}; run 'python -m invmask data {name}' to fetch it"):
        load_dataset(name, tmp_path, train=True)


@pytest.mark.parametrize("name", OTHERS)
def test_a_damaged_set_is_told(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write(name, tmp_path, parts_of(name), monkeypatch)
    victim = {
        "cifar100": "cifar-100-python/test",
        "mnist": "MNIST/raw/t10k-images-idx3-ubyte",
        "fashionmnist": "FashionMNIST/raw/t10k-labels-idx1-ubyte",
        "gtsrb": "gtsrb/GT-final_test.csv",
        "tinyimagenet": "tiny-imagenet-200/val/images/val_3.JPEG",
    }[name]
    (tmp_path / victim).unlink()
    with pytest.raises(UserError, match=r"incomplete or damaged; delete it and fetch .* again\."):
        read(DATASETS[name], tmp_path, train=False)


def nowhere(*_arguments: object, **_settings: object) -> None:
    raise urllib.error.URLError("no route to host")


@pytest.mark.parametrize("name", OTHERS)
def test_a_download_that_fails_says_what_to_put_where(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torchvision_sets, "DEBIAN_FASHION_MNIST", tmp_path / "no such package")
    for module in (torchvision.datasets.utils, torchvision.datasets.mnist, torchvision.datasets.gtsrb):
        monkeypatch.setattr(module, "download_and_extract_archive", nowhere)
    monkeypatch.setattr(torchvision.datasets.cifar, "download_and_extract_archive", nowhere)
    with pytest.raises(UserError, match=r"could not be fetched from its home page; put .* and try again\.") as told:
        fetch_dataset(name, tmp_path / "data")
    assert f"into {tmp_path / 'data'} and" in str(told.value)
    assert ". " not in str(told.value)
    # Nothing half-made is left that would be taken for the set next time.
    assert not any(path.is_dir() for path in (tmp_path / "data").rglob("*"))


def test_fashion_mnist_comes_from_debians_package_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    package, parts = tmp_path / "package", parts_of("fashionmnist")
    package.mkdir()
    for name, content in idx_files(parts).items():
        (package / f"{name}.gz").write_bytes(gzip.compress(content))
    monkeypatch.setattr(torchvision_sets, "DEBIAN_FASHION_MNIST", package)
    monkeypatch.setattr(torchvision.datasets, "FashionMNIST", torchvision.datasets.FashionMNIST)
    folder = fetch_dataset("fashionmnist", tmp_path / "data")
    assert folder == tmp_path / "data" / "FashionMNIST"
    found = read(FASHION_MNIST, tmp_path / "data", train=True)
    np.testing.assert_array_equal(found.pixels, parts["train"].pixels)
    # Once it is there it is not fetched again.
    monkeypatch.setattr(torchvision_sets, "DEBIAN_FASHION_MNIST", tmp_path / "gone")
    monkeypatch.setattr(torchvision.datasets, "FashionMNIST", nowhere)
    assert fetch_dataset("fashionmnist", tmp_path / "data") == folder


def test_gtsrbs_signs_of_all_sizes_are_resized(tmp_path: Path):
    parts = parts_of("gtsrb")
    write_gtsrb(tmp_path, parts)
    large = np.zeros((64, 50, 3), np.uint8)
    large[:, 25:] = 200
    Image.fromarray(large).save(tmp_path / "gtsrb" / "GTSRB" / "Final_Test" / "Images" / "00000.ppm")
    found = read(GTSRB, tmp_path, train=False).pixels[0]
    assert found.shape == (32, 32, 3)
    assert found[5, 3].tolist() == [0, 0, 0]
    assert found[5, 28].tolist() == [200, 200, 200]


def write_own(root: Path, name: str, classes: tuple[str, ...] = ("cat", "dog", "emu"), each: int = 4) -> Path:
    generator = np.random.default_rng(3)
    for part, count in (("train", each), ("val", each)):
        for place, title in enumerate(classes):
            folder = root / name / part / title
            folder.mkdir(parents=True, exist_ok=True)
            for number in range(count):
                picture = generator.integers(0, 40, (60, 90, 3), dtype=np.uint8) + np.uint8(60 * place)
                Image.fromarray(picture).save(folder / f"{number}.png")
    return root / name


@pytest.fixture
def data(own_home: Path) -> Path:
    return own_home / "data"


def test_a_folder_of_ones_own_is_a_data_set(data: Path):
    folder = write_own(data, "pets")
    info = dataset_info("folder:pets@24")
    assert (info.title, info.classes, info.shape) == ("pets", ("cat", "dog", "emu"), (3, 24, 24))
    assert dataset_info("folder:pets").shape == (3, 64, 64)
    found = load_dataset("folder:pets@24", data, train=True)
    assert found.pixels.shape == (12, 24, 24, 3)
    assert found.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert [round(float(found.pixels[found.labels == label].mean()), -1) for label in range(3)] == [20, 80, 140]
    assert fetch_dataset("folder:pets", data) == folder
    (folder / "train" / "newt").mkdir()
    assert dataset_info("folder:pets").classes[-1] == "newt"


def test_folders_of_programs_are_no_classes(data: Path):
    folder = write_own(data, "pets")
    for name in (".ipynb_checkpoints", "__MACOSX"):
        (folder / "train" / name).mkdir()
        (folder / "train" / name / "0.png").write_bytes(b"no picture")
    assert dataset_info("folder:pets").classes == ("cat", "dog", "emu")
    assert len(load_dataset("folder:pets", data, train=True)) == 12


def test_the_middle_of_a_picture_is_kept(data: Path):
    folder = write_own(data, "wide", ("a", "b"), each=1)
    picture = np.zeros((20, 60, 3), np.uint8)
    picture[:, 20:40] = 255
    Image.fromarray(picture).save(folder / "val" / "a" / "0.png")
    assert int(load_dataset("folder:wide@20", data, train=False).pixels[0].min()) == 255


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("folder:", "named folder:NAME or folder:NAME@SIDE"),
        ("folder:..", "named folder:NAME"),
        ("folder:a/b", "named folder:NAME"),
        ("folder:pets@4", "side from 8 to 1024"),
        ("folder:pets@0016", "named folder:NAME"),
        ("folder:birds", "There is no folder .*birds/train"),
        ("svhn", "There is no data set 'svhn'; choose one of: cifar10, cifar100, fashionmnist"),
    ],
)
def test_names_that_are_no_data_set_are_refused(name: str, message: str, data: Path):
    write_own(data, "pets")
    with pytest.raises(UserError, match=message):
        dataset_info(name)


def test_a_folder_that_lacks_something_says_what(data: Path):
    folder = write_own(data, "pets")
    (folder / "val" / "dog").rename(folder / "val" / "dogs")
    with pytest.raises(UserError, match="has other classes"):
        load_dataset("folder:pets", data, train=False)
    (folder / "train" / "cat" / "0.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match="cannot be read"):
        load_dataset("folder:pets", data, train=True)
    (folder / "val").rename(folder / "elsewhere")
    with pytest.raises(UserError, match=r"no pictures to test on; put them into .*pets/val"):
        load_dataset("folder:pets", data, train=False)


def test_images_for_defences_are_drawn_from_the_full_set(data: Path):
    write_own(data, "pets", each=6)
    name = "folder:pets@16"
    with pytest.raises(UserError, match=f"make them with 'python -m invmask data {name}'"):
        load_embedded(name, "test")
    prepare(name, data, embedded.embedded_folder(name))
    loaded = load_embedded(name, "budget")
    assert loaded.images.pixels.shape == (18, 16, 16, 3)
    np.testing.assert_array_equal(
        load_dataset(name, data, train=True).take(loaded.indices).pixels, loaded.images.pixels
    )
    assert len(clean_budget(name, 6, 0)) == 18
    with pytest.raises(UserError, match="has 6 clean images a class here"):
        clean_budget(name, 7, 0)
    assert probe(name, 2).labels.tolist() == [0, 0, 1, 1, 2, 2]
    (data / "pets" / "train" / "axolotl").mkdir()
    with pytest.raises(UserError, match="no valid file for the classes axolotl"):
        prepare(name, data, data / "again")


def test_images_are_drawn_whole_or_not_at_all(data: Path):
    shutil.rmtree(write_own(data, "pets") / "val")
    with pytest.raises(UserError, match="no pictures to test on"):
        prepare("folder:pets@16", data, data / "drawn")
    assert not (data / "drawn").exists()


def test_of_large_images_fewer_are_drawn(data: Path, monkeypatch: pytest.MonkeyPatch):
    write_own(data, "pets", each=6)
    name = "folder:pets@16"
    monkeypatch.setattr(prepare_module, "MOST_PIXELS", 5 * 3 * 16 * 16 - 1)
    prepare(name, data, embedded.embedded_folder(name))
    assert np.bincount(load_embedded(name, "budget").images.labels).tolist() == [4, 4, 4]
    assert np.bincount(load_embedded(name, "test").images.labels).tolist() == [4, 4, 4]
    with Image.open(embedded.embedded_folder(name) / "test.png") as sheet:
        assert sheet.size == (12 * 16, 16)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 12 * 16 * 16 // 2 - 1)
    embedded._load.cache_clear()
    with pytest.raises(UserError, match="missing or damaged; delete"):
        load_embedded(name, "test")
    monkeypatch.setattr(prepare_module, "MOST_PIXELS", 3 * 16 * 16 - 1)
    with pytest.raises(UserError, match="16x16 are too large for 3 classes; take a smaller side"):
        prepare(name, data, data / "again")


def test_a_picture_too_large_to_be_opened_is_named(data: Path, monkeypatch: pytest.MonkeyPatch):
    write_own(data, "pets")
    Image.new("RGB", (200, 200)).save(data / "pets" / "train" / "dog" / "2.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 19_999)
    with pytest.raises(UserError, match=r"dog/2\.png is too large; make it smaller"):
        load_dataset("folder:pets", data, train=True)


def test_a_damaged_picture_is_named(data: Path):
    write_own(data, "pets")
    path, noise = data / "pets" / "train" / "dog" / "2.png", np.random.default_rng(0).integers(0, 256, (200, 200, 3))
    Image.fromarray(noise.astype(np.uint8)).save(path)
    parts = path.read_bytes().split(b"IDAT")
    assert len(parts) > 2
    # The name of its second piece of pixels is none.
    path.write_bytes(parts[0] + b"IDAT" + parts[1] + b"\0\0\0\0" + b"IDAT".join(parts[2:]))
    with pytest.raises(UserError, match=r"dog/2\.png is damaged; delete it or put it there again"):
        load_dataset("folder:pets", data, train=True)


def test_grey_images_and_any_number_of_them_are_written_without_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    images = draw(130, (28, 28, 1), 10, 4)
    write_part(tmp_path / "mnist", "test", images, np.arange(130), {})
    monkeypatch.setattr(embedded, "ASSETS", tmp_path)
    found = load_embedded("mnist", "test").images
    np.testing.assert_array_equal(found.pixels, images.pixels)
    with Image.open(tmp_path / "mnist" / "test.png") as sheet:
        assert (sheet.mode, sheet.size) == ("L", (2800, 56))


@pytest.mark.parametrize(("part", "per_class"), [("budget", 100), ("test", 200)])
def test_the_embedded_fashion_mnist_is_what_it_says(part: embedded.Part, per_class: int):
    loaded = load_embedded("fashionmnist", part)
    images = loaded.images
    assert images.pixels.shape == (10 * per_class, 28, 28, 1)
    assert np.bincount(images.labels).tolist() == [per_class] * 10
    assert bool((np.diff(loaded.indices) > 0).all())
    means = images.pixels.mean() / 255
    assert float(means) == pytest.approx(FASHION_MNIST.mean[0], abs=0.02)
    card = json.loads((embedded.ASSETS / "fashionmnist" / f"{part}.json").read_text())
    assert "Vollgraf" in card["citation"]
    assert card["source"].startswith("Fashion-MNIST, https://")
    assert (embedded.ASSETS / "fashionmnist" / f"{part}.png").stat().st_size < 900_000


def test_no_embedded_test_image_is_in_the_budget():
    budget, test = (load_embedded("fashionmnist", part).images for part in ("budget", "test"))
    assert {image.tobytes() for image in budget.pixels}.isdisjoint(image.tobytes() for image in test.pixels)


@pytest.mark.parametrize("info", DATASETS.values(), ids=str)
def test_what_is_said_of_a_data_set_fits_together(info):
    assert len(info.mean) == len(info.std) == info.shape[0]
    assert len(set(info.classes)) == len(info.classes)
    assert all(0 <= mean < 1 and 0 < std <= 1 for mean, std in zip(info.mean, info.std, strict=True))
    assert info.source.startswith("http")
    assert info.citation
    assert "-" not in info.name
    assert dataset_info(info.name) is info


def test_the_classes_are_as_many_and_in_the_order_that_is_published():
    assert [len(info.classes) for info in (CIFAR100, GTSRB, TINY_IMAGENET, MNIST)] == [100, 43, 200, 10]
    assert (CIFAR100.classes[0], CIFAR100.classes[-1]) == ("apple", "worm")
    assert list(CIFAR100.classes) == sorted(CIFAR100.classes)
    assert (GTSRB.classes[14], GTSRB.classes[38]) == ("stop", "keep right")
    # The first and last wnids are n01443537 and n12267677.
    assert (TINY_NAMES[0], TINY_NAMES[-1]) == ("goldfish", "acorn")


def test_the_home_of_torchvisions_copies_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A download goes through torchvision: its file is unpacked where `read` looks for it."""
    parts, asked = parts_of("mnist"), []

    def download(url: str, download_root: str, filename: str, md5: str) -> None:
        asked.append((url, md5))
        name = filename.removesuffix(".gz")
        Path(download_root, name).write_bytes(idx_files(parts)[name])

    monkeypatch.setattr(torchvision.datasets.mnist, "download_and_extract_archive", download)
    fetch_dataset("mnist", tmp_path)
    assert len(asked) == 4
    np.testing.assert_array_equal(read(MNIST, tmp_path, train=False).pixels, parts["test"].pixels)


@pytest.mark.parametrize("name", ["cifar10", "mnist", "tinyimagenet"])
def test_a_download_that_somebody_interrupts_leaves_nothing(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    places = []

    def download(_url: str, *given: str, **named: str) -> None:
        places.append(Path(given[0] if given else named["download_root"]))
        places[-1].mkdir(parents=True, exist_ok=True)
        (places[-1] / {"cifar10": cifar10.TORCHVISION_FOLDER}.get(name, "half")).mkdir()
        raise KeyboardInterrupt

    of = {"cifar10": torchvision.datasets.cifar, "mnist": torchvision.datasets.mnist}
    monkeypatch.setattr(of.get(name, torchvision.datasets.utils), "download_and_extract_archive", download)
    with pytest.raises(KeyboardInterrupt):
        fetch_dataset(name, tmp_path)
    assert len(places) == 1
    assert list(tmp_path.iterdir()) == []
    assert not is_fetched(name, tmp_path)


def test_a_folder_whose_classes_change_has_its_images_drawn_again(data: Path):
    write_own(data, "pets", each=6)
    name = "folder:pets@16"
    prepare(name, data, embedded.embedded_folder(name))
    assert is_embedded(name)
    for part in ("train", "val"):
        first = min((data / "pets" / part).iterdir())
        first.rename(first.with_name("zebra"))
    assert not is_embedded(name)
    with pytest.raises(UserError, match=f"draw them again with 'python -m invmask data {name}'"):
        load_embedded(name, "test")
    prepare(name, data, embedded.embedded_folder(name))
    assert is_embedded(name)


def test_tiny_imagenet_is_fetched_from_its_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def download(url: str, download_root: str, md5: str) -> None:
        assert url == TINY_IMAGENET.source
        assert len(md5) == 32
        write_tiny(Path(download_root), parts_of("tinyimagenet"))

    monkeypatch.setattr(torchvision.datasets.utils, "download_and_extract_archive", download)
    assert fetch_dataset("tinyimagenet", tmp_path) == tmp_path / folders.TINY_FOLDER
    assert len(read(TINY_IMAGENET, tmp_path, train=True)) == 24
    assert [path.name for path in tmp_path.iterdir()] == [folders.TINY_FOLDER]
