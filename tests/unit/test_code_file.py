"""A class of one's own is built from its file, and the file is run only as somebody has agreed to."""

from pathlib import Path

import pytest
import torch

from invmask.errors import UserError
from invmask.models import build, code_file
from invmask.models.code_file import agree
from invmask.models.registry import named_title

CODE = """
from pathlib import Path
from dataclasses import dataclass
from torch import nn
from beside import WIDTH

Path(__file__).with_name("has run").touch()

@dataclass
class Settings:
    width: int = WIDTH

class Net(nn.Sequential):
    def __init__(self, num_classes=3):
        head = nn.Linear(WIDTH, num_classes)
        super().__init__(nn.Conv2d(3, Settings().width, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)

def ten():
    return Net(10)

def fails():
    raise RuntimeError("no weights here")

text = "text"
number = int
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INVMASK_HOME", str(tmp_path / "home"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "code" / "net.py"
    path.parent.mkdir()
    path.write_text(CODE)
    path.with_name("beside.py").write_text("WIDTH = 7\n")
    return path


@pytest.mark.parametrize(("name", "classes"), [("Net", 4), ("ten", 10)])
def test_a_class_or_a_function_makes_the_network(file: Path, name: str, classes: int):
    agree(file)
    network = build(f"code:{file}:{name}", 4)
    assert network(torch.rand(2, 3, 8, 8)).shape == (2, classes)
    assert network[0].out_channels == 7
    # The same code is one class, so networks of it are alike.
    assert type(build(f"code:{file}:Net", 4)) is type(build(f"code:{file}:Net", 5))
    assert named_title(f"code:{file}:{name}") == name


def test_nothing_is_run_that_nobody_agreed_to(file: Path):
    with pytest.raises(UserError, match=r"Nobody has agreed to run .*net\.py as it is now"):
        build(f"code:{file}:Net", 4)
    assert not file.with_name("has run").exists()
    agree(file)
    assert not file.with_name("has run").exists()
    build(f"code:{file}:Net", 4)
    assert file.with_name("has run").exists()
    file.write_text(CODE + "\nmore = 1\n")
    with pytest.raises(UserError, match="Nobody has agreed"):
        build(f"code:{file}:Net", 4)


def test_neighbours_of_two_files_may_have_the_same_name(file: Path):
    other = file.parent.parent / "more" / "net.py"
    other.parent.mkdir()
    other.write_text(CODE)
    other.with_name("beside.py").write_text("WIDTH = 9\n")
    for path, width in ((file, 7), (other, 9)):
        agree(path)
        assert build(f"code:{path}:Net", 4)[0].out_channels == width


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("{file}:Other", "has no class or function 'Other'"),
        ("{file}:text", "has no class or function 'text'"),
        ("{file}:fails", "'fails' in .* could not be made: RuntimeError: no weights here"),
        ("{file}:number", "makes a int, not a torch.nn.Module"),
        ("{file}", "A network of your own is named code:FILE.py:Class"),
        ("{file}:__import__('os')", "A network of your own is named"),
        ("/nowhere/net.py:Net", "/nowhere/net.py cannot be read"),
        ("net.txt:Net", "A network of your own is named"),
    ],
)
def test_mistakes_get_one_sentence(file: Path, place: str, message: str):
    agree(file)
    with pytest.raises(UserError, match=message):
        build(f"code:{place.format(file=file)}", 4)


@pytest.mark.parametrize("code", ["import nowhere_at_all", "def f(:", "raise SystemExit(0)"])
def test_code_that_cannot_be_run_says_so(file: Path, code: str):
    file.write_text(code)
    agree(file)
    with pytest.raises(UserError, match=r"net\.py could not be run: "):
        build(f"code:{file}:Net", 4)


def test_a_file_that_is_no_program_is_not_agreed_to(file: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(code_file, "MAX_BYTES", 10)
    with pytest.raises(UserError, match="too much for a Python file"):
        agree(file)
    with pytest.raises(UserError, match="cannot be read"):
        agree(file.with_name("missing.py"))


@pytest.mark.parametrize(
    ("architecture", "title"),
    [
        ("cifar:wideresnet28x10", "WideResNet-28-10"),
        ("cifar:resnet18", "ResNet-18"),
        ("cifar:resnet50poolw16", "ResNet-50, pooled stem, width 16"),
        ("cifar:vgg16", "VGG-16-BN"),
        ("cifar:<b>", "<b>"),
        ("timm:vit_tiny_patch16_224@32", "vit_tiny_patch16_224@32"),
        ("torchvision:resnet50", "resnet50"),
        ("elsewhere:x", "elsewhere:x"),
    ],
)
def test_titles_on_screen(architecture: str, title: str):
    assert named_title(architecture) == title
