"""A user's own pictures are read from every usual place, and the odd ones among them are left out and said."""

import io
import json
import os
import stat
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from invmask import confined
from invmask.data import own_images, picture_reading
from invmask.data.own_images import read_images
from invmask.data.picture_places import shares
from invmask.errors import UserError


@pytest.fixture(autouse=True)
def here(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch):
    def call(function, *arguments, **_):
        return json.loads(json.dumps(function(*json.loads(json.dumps(arguments, default=str)))))

    if "in_a_child" not in request.fixturenames:
        monkeypatch.setattr(confined, "call", call)


@pytest.fixture
def in_a_child():
    """Asked for by tests that read in a real child; elsewhere the child's part runs here."""


def picture(path: Path, value: int = 0, size: tuple[int, int] = (8, 8), mode: str = "RGB") -> Path:
    """Write a picture of one colour. `size` is width and height."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, (value,) * len(mode) if mode in ("RGB", "LA") else value).save(path)
    return path


def folders(root: Path, **counts: int) -> Path:
    """A folder of classes, whose pictures have the values 10, 11, ... in the first, 20, 21, ... in the second."""
    for number, (name, count) in enumerate(counts.items(), 1):
        for place in range(count):
            picture(root / name / f"{place:03}.png", 10 * number + place)
    return root


def zipped(folder: Path) -> Path:
    target = folder.with_suffix(".zip")
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder.parent))
    return target


def values(found: own_images.OwnImages) -> list[int]:
    return found.images.pixels[:, 0, 0, 0].tolist()


@pytest.mark.usefixtures("in_a_child")
@pytest.mark.parametrize("packed", [False, True])
def test_a_folder_of_classes_is_read_as_it_is(tmp_path: Path, packed: bool):
    folder = folders(tmp_path / "pets", dog=3, cat=1)
    found = read_images(zipped(folder) if packed else folder, 3)
    assert found.labelled
    assert found.class_names == ("cat", "dog")
    assert found.counts == (1, 3)
    assert found.images.pixels.shape == (4, 8, 8, 3)
    assert values(found) == [20, 10, 11, 12]
    assert found.images.labels.tolist() == [0, 1, 1, 1]
    assert (found.left_out, found.notes) == (0, ())


def test_classes_of_unequal_size_stay_so(tmp_path: Path):
    found = read_images(folders(tmp_path / "x", a=20, b=20, c=1), 3)
    assert found.counts == (20, 20, 1)


@pytest.mark.parametrize("packed", [False, True])
def test_hidden_folders_and_other_files_are_no_classes(tmp_path: Path, packed: bool):
    folder = folders(tmp_path / "pets", dog=2, cat=1)
    for name in (".ipynb_checkpoints", "__MACOSX", "__MACOSX/cat", "dog/.ipynb_checkpoints", "__pycache__"):
        picture(folder / name / "0.png")
    (folder / "cat" / "._0.png").write_bytes(b"of a Mac")
    (folder / "cat" / "Thumbs.db").write_bytes(b"of Windows")
    (folder / "notes").mkdir()
    (folder / "notes" / "read me.txt").write_text("x")
    found = read_images(zipped(folder) if packed else folder, 3)
    assert (found.class_names, found.counts) == (("cat", "dog"), (1, 2))
    assert found.notes == ("1 file of other kinds than pictures, not used.",)


def test_one_damaged_picture_is_not_the_end(tmp_path: Path):
    folder = folders(tmp_path / "pets", dog=2, cat=2)
    (folder / "cat" / "000.png").write_bytes((folder / "cat" / "000.png").read_bytes()[:40])
    (folder / "dog" / "002.jpg").write_bytes(b"no picture")
    (folder / "dog" / "003.png").write_bytes(b"")
    found = read_images(folder, 3)
    assert found.counts == (1, 2)
    assert found.left_out == 3
    assert found.notes == ("3 damaged or too large pictures were left out: cat/000.png, dog/002.jpg, dog/003.png.",)


def test_a_bomb_is_left_out_before_it_is_unpacked(tmp_path: Path):
    folder = folders(tmp_path / "pets", dog=2, cat=2)
    Image.new("1", (7_000, 7_000)).save(folder / "cat" / "bomb.png")
    found = read_images(folder, 3, (8, 8))
    assert (found.left_out, found.counts) == (1, (2, 2))


def test_a_folder_without_a_picture_that_can_be_read(tmp_path: Path):
    (tmp_path / "none").mkdir()
    with pytest.raises(UserError, match="none holds no pictures; give PNG, JPEG"):
        read_images(tmp_path / "none", 3)
    (tmp_path / "none" / "a.png").write_bytes(b"x")
    for size in (None, (8, 8)):
        with pytest.raises(UserError, match="None of the pictures in none can be read"):
            read_images(tmp_path / "none", 3, size)


@pytest.mark.parametrize(
    "table",
    [
        "file,label\na.png,cat\nb.png,dog\nc.png,cat\n",
        "label;Filename\r\ncat;x/a.png\r\ndog;./b.png\r\ncat;c.png\r\n",
        "a.png\tcat\nb.png\tdog\nc.png\tcat",
        "\ufeffWidth,id,Class\n8,a,cat\n8,b,dog\n9,c,cat\n8,elsewhere,bird\n",
    ],
)
def test_a_flat_folder_is_labelled_by_a_table(tmp_path: Path, table: str):
    for place, name in enumerate("abc"):
        picture(tmp_path / "flat" / f"{name}.png", place)
    (tmp_path / "labels.csv").write_text(table, newline="")
    given = read_images(tmp_path / "flat", 3, labels=tmp_path / "labels.csv")
    (tmp_path / "labels.csv").rename(tmp_path / "flat" / "labels.csv")
    beside = read_images(tmp_path / "flat", 3)
    for found in (given, beside):
        assert (found.class_names, found.counts) == (("cat", "dog"), (2, 1))
        assert values(found) == [0, 1, 2]
        assert found.images.labels.tolist() == [0, 1, 0]


def test_pictures_that_the_table_does_not_name_are_left_out(tmp_path: Path):
    for place, name in enumerate("abcd"):
        picture(tmp_path / f"{name}.png", place)
    (tmp_path / "l.csv").write_text("name,label\na.png,10\nc.png,2\n")
    found = read_images(tmp_path, 3)
    # As numbers, 2 comes before 10.
    assert (found.class_names, values(found), found.images.labels.tolist()) == (("2", "10"), [0, 2], [1, 0])
    assert found.notes == ("2 of 4 pictures have no label in l.csv and were left out.",)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("x,y\n1,2\n", "names none of the pictures; its rows need"),
        ("a.png,1,2\nb.png,1,2\n", "not clear which column of l.csv has the labels; give it the title 'label'"),
        ("", "names none of the pictures"),
        ("name,label\na.png,\nb.png, \n", r"None of the pictures has a label in l\.csv"),
        ('a.png,"' + "x" * 200_000, "not a table of names and labels"),
    ],
)
def test_tables_that_say_nothing_are_refused(tmp_path: Path, table: str, message: str):
    for name in "ab":
        picture(tmp_path / f"{name}.png")
    (tmp_path / "l.csv").write_text(table)
    with pytest.raises(UserError, match=message):
        read_images(tmp_path, 3)
    with pytest.raises(UserError, match=r"The table no\.csv cannot be read"):
        read_images(tmp_path, 3, labels=tmp_path / "no.csv")


def test_a_flat_folder_needs_no_labels(tmp_path: Path):
    for place in range(3):
        picture(tmp_path / "flat" / "inner" / f"{place}.jpg", 100)
    found = read_images(tmp_path / "flat", 3)
    assert not found.labelled
    assert (found.class_names, found.counts, found.images.labels.tolist()) == ((), (), [-1, -1, -1])


@pytest.mark.parametrize(
    ("shape", "kind"),
    [((5, 8, 6), "uint8"), ((5, 8, 6, 3), "uint8"), ((5, 3, 8, 6), "uint8"), ((5, 8, 6, 1), "float32")],
)
@pytest.mark.parametrize("packed", [False, True])
def test_arrays_are_read_in_every_order(tmp_path: Path, shape, kind: str, packed: bool):
    images = np.random.default_rng(0).integers(0, 255, shape).astype(kind) / (255 if kind == "float32" else 1)
    np.savez(tmp_path / "x.npz", x_train=1, x_test=images.astype(kind), y_test=np.array([[2], [0], [0], [1], [2]]))
    path = zipped_file(tmp_path / "x.npz") if packed else tmp_path / "x.npz"
    found = read_images(path, 3)
    assert found.images.pixels.shape == (5, 8, 6, 3)
    assert (found.class_names, found.counts) == (("0", "1", "2"), (2, 1, 2))
    expected = images[..., None] if images.ndim == 3 else images
    expected = expected.transpose(0, 2, 3, 1) if shape[1] == 3 else expected
    expected = (expected * (255 if kind == "float32" else 1)).round()
    assert np.abs(found.images.pixels - expected.astype(float)).max() == 0
    assert "The images are those under 'x_test'." in found.notes


def zipped_file(path: Path) -> Path:
    with zipfile.ZipFile(path.with_suffix(".zip"), "w") as archive:
        archive.write(path, f"inner/{path.name}")
    return path.with_suffix(".zip")


def test_one_array_alone_and_names_of_classes(tmp_path: Path):
    images = np.zeros((3, 4, 4), np.uint8)
    np.save(tmp_path / "x.npy", images)
    assert not read_images(tmp_path / "x.npy", 1).labelled
    np.savez(tmp_path / "x.npz", images=images, labels=np.eye(3)[[2, 0, 0]], class_names=np.array(["a", "b", "c"]))
    found = read_images(tmp_path / "x.npz", 1)
    assert (found.class_names, found.counts) == (("a", "b", "c"), (2, 0, 1))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": np.array([{}, 1], object)}, "no arrays that can be read safely"),
        ({"weights": np.ones(3)}, "no arrays that can be read safely"),
        (
            {"images": np.ones((2, 5, 5, 7))},
            r"of type float64 and shape \[2, 5, 5, 7\]; give numbers as \[N, H, W, C\]",
        ),
        ({"images": np.ones((2, 5, 5), complex)}, "of type complex128"),
        ({"images": np.ones((0, 5, 5))}, "holds no images"),
        ({"images": np.full((2, 5, 5), np.nan)}, "values that are not numbers"),
        ({"images": np.full((2, 5, 5), -1.5)}, r"values from -1\.5 to -1\.5; give them as 0 to 255 or 0 to 1"),
        (
            {"images": np.ones((2, 5, 5)), "labels": np.ones(3)},
            r"2 images, but labels of shape \[3\]; give one for each",
        ),
        ({"images": np.ones((2, 5, 5)), "labels": np.ones(2) / 2}, "give whole numbers or names"),
    ],
)
def test_arrays_that_are_no_images_are_refused(tmp_path: Path, arrays, message: str):
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(UserError, match=message):
        read_images(tmp_path / "x.npz", 3)


def test_pictures_keep_their_form_or_lose_their_edges_and_it_is_said(tmp_path: Path):
    left_white = Image.new("RGB", (96, 48))
    left_white.paste((255, 255, 255), (0, 0, 24, 48))
    for place in range(2):
        left_white.save(tmp_path / f"{place}.png")
    found = read_images(tmp_path, 3)
    assert found.images.pixels.shape == (2, 48, 96, 3)
    assert found.notes == ()
    # A square of them is the middle, in which nothing is squashed and none of the white is left.
    cut = read_images(tmp_path, 3, (24, 24))
    assert cut.images.pixels.shape == (2, 24, 24, 3)
    assert cut.images.pixels[:, :, 1:].max() == 0
    assert cut.notes == ("Pictures were resized to cover 24 x 24 (height x width), and the middle was cut out.",)
    half = read_images(tmp_path, 3, (24, 48))
    assert half.images.pixels[:, :, :11].min() == 255
    assert half.notes == ("Pictures were resized to 24 x 48 (height x width).",)


def test_pictures_of_many_sizes_become_squares(tmp_path: Path):
    for place, size in enumerate([(40, 60), (60, 30), (50, 50)]):
        picture(tmp_path / f"{place}.png", 9, size)
    assert read_images(tmp_path, 3).images.pixels.shape == (3, 40, 40, 3)
    for side in (900, 901, 907, 1301):
        picture(tmp_path / "large" / "0.png", 9, (side, 900))
        found = read_images(tmp_path / "large", 3)
        assert found.images.pixels.shape == (1, 224, 224, 3)
        assert {*found.images.pixels.flat} == {9}


def test_colours_are_converted_and_it_is_said(tmp_path: Path):
    picture(tmp_path / "c" / "0.png", 200)
    picture(tmp_path / "g" / "0.png", 200, mode="L")
    grey, colour = read_images(tmp_path / "c", 1), read_images(tmp_path / "g", 3)
    assert (grey.images.pixels.shape, values(grey)) == ((1, 8, 8, 1), [200])
    assert (colour.images.pixels.shape, values(colour)) == ((1, 8, 8, 3), [200])
    assert grey.notes == ("Colour pictures were turned grey.",)
    assert colour.notes == ("Grey pictures were copied to three channels.",)


def test_sixteen_bits_are_not_cut_off(tmp_path: Path):
    Image.fromarray(np.full((8, 8), 32896, np.uint16)).save(tmp_path / "0.png")
    found = read_images(tmp_path, 1)
    assert values(found) == [128]
    assert found.notes == ("Pictures with more than 8 bits were reduced to 8.",)


def test_of_a_whole_data_set_the_test_part_is_used(tmp_path: Path):
    folders(tmp_path / "set" / "train", a=2, b=2)
    folders(tmp_path / "set" / "val", a=1, b=1)
    found = read_images(tmp_path / "set", 3)
    assert found.counts == (1, 1)
    assert found.notes == ("The pictures in the folder val are used, and not those in train.",)


def test_of_many_pictures_an_even_part_is_used(tmp_path: Path):
    folder = folders(tmp_path / "x", a=9, b=9, c=1)
    found = read_images(folder, 3, limit=7)
    assert found.counts == (3, 3, 1)
    assert found.notes == ("7 of 19 images are used, as evenly from all classes as possible.",)
    assert shares(["a"] * 10, 3) == [3, 6, 9]
    assert shares(["a", "b"] * 3, 100) == list(range(6))


def test_given_classes_say_the_order(tmp_path: Path):
    folder = folders(tmp_path / "x", dog=2, cat=1)
    found = read_images(folder, 3, classes=["Dog", "bird", "cat"])
    assert (found.class_names, found.counts) == (("Dog", "bird", "cat"), (2, 0, 1))
    with pytest.raises(UserError, match="The class 'dog' is not in the list of 2 classes"):
        read_images(folder, 3, classes=["bird", "cat"])
    numbers = folders(tmp_path / "n", **{"2": 1, "0": 2})
    assert read_images(numbers, 3, classes=["x", "y", "z"]).counts == (2, 0, 1)


def test_links_and_archives_never_lead_outside(tmp_path: Path):
    secret = picture(tmp_path / "secret" / "s.png", 99)
    folder = folders(tmp_path / "pets", dog=1, cat=1)
    (folder / "dog" / "out.png").symlink_to(secret)
    (folder / "out").symlink_to(secret.parent)
    (folder / "dog" / "round").symlink_to(folder)
    (folder / "dog" / "same.png").symlink_to(folder / "cat" / "000.png")
    (folder / "dog" / "gone.png").symlink_to(tmp_path / "nowhere")
    os.mkfifo(folder / "dog" / "pipe.png")
    found = read_images(folder, 3)
    assert sorted(values(found)) == [10, 20, 20]
    assert found.notes == ("4 links to places outside or to folders, not followed.",)
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.write(folder / "cat" / "000.png", "in/0.png")
        archive.write(folder / "cat" / "000.png", "../../up.png")
        link = zipfile.ZipInfo("in/link.png")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, str(secret))
    before = sorted(tmp_path.rglob("*"))
    found = read_images(tmp_path / "z.zip", 3)
    assert (values(found), found.notes) == ([20], ("2 links to places outside or to folders, not followed.",))
    assert sorted(tmp_path.rglob("*")) == before


def test_a_zip_bomb_is_left_out(tmp_path: Path):
    content = io.BytesIO()
    Image.new("RGB", (8, 8)).save(content, "PNG")
    with zipfile.ZipFile(tmp_path / "z.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", content.getvalue())
        archive.writestr("bomb.png", content.getvalue() + bytes(picture_reading.MOST_FILE_BYTES))
    found = read_images(tmp_path / "z.zip", 3)
    assert (len(found.images), found.left_out) == (1, 1)


def test_a_file_without_a_name_in_an_archive_is_passed_over(tmp_path: Path):
    picture(tmp_path / "a.png", 7)
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.writestr(zipfile.ZipInfo(""), b"x")
        archive.write(tmp_path / "a.png", "a.png")
    assert values(read_images(tmp_path / "z.zip", 3)) == [7]


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda p: p.write_bytes(b"x"), "neither a folder of pictures nor a .zip or .npz archive"),
        (lambda p: p.write_bytes(b"PK\x05\x06" + bytes(18)), "holds no pictures"),
        (lambda p: None, "There is no folder or file"),
    ],
)
def test_what_is_no_place_of_pictures_is_refused(tmp_path: Path, write, message: str):
    write(tmp_path / "x.zip")
    with pytest.raises(UserError, match=message):
        read_images(tmp_path / "x.zip", 3)


def test_a_password_is_told(tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.writestr("a.png", b"x")
    content = bytearray((tmp_path / "z.zip").read_bytes())
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + place] |= 1
    (tmp_path / "z.zip").write_bytes(content)
    with pytest.raises(UserError, match=r"z\.zip has a password; give an archive without one"):
        read_images(tmp_path / "z.zip", 3)


def test_absurd_numbers_are_refused(tmp_path: Path):
    for arguments in ({"channels": 2}, {"channels": 3, "size": (0, 8)}, {"channels": 3, "size": (8, 10**6)}):
        with pytest.raises(UserError):
            read_images(tmp_path, **arguments)
    with pytest.raises(UserError, match="At least one image"):
        read_images(tmp_path, 3, limit=0)


def test_more_than_fits_in_memory_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(picture_reading, "MOST_PIXEL_BYTES", 8 * 8 * 3 * 4)
    found = read_images(folders(tmp_path / "x", a=3, b=5), 3)
    assert found.counts == (2, 2)
