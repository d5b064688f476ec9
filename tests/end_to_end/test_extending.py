"""The examples of the manual's page on extending, put into a copy of the repository and run."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
EXAMPLES = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "extending.md").read_text(), re.DOTALL)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository with all examples in it."""
    folder = tmp_path_factory.mktemp("copy")
    for name in ("invmask", "pages", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("app.py", "pyproject.toml"):
        shutil.copy(ROOT / name, folder / name)
    for name in ("assets", "benchmarks"):
        (folder / name).symlink_to(ROOT / name)
    files = [of for of in EXAMPLES if of.startswith("# ")]
    assert len(files) == 3
    for code in files:
        head, _, rest = code.partition("\n")
        (folder / head.removeprefix("# ")).write_text(rest)
    (line,) = [of.strip() for of in EXAMPLES if not of.startswith("# ")]
    edit(folder / "invmask/ui/shell/navigation.py", '        st.Page("pages/export.py"', f"        {line},\n")
    registry = folder / "invmask/attacks/registry.py"
    edit(registry, "from invmask.attacks.triggers.iab", "from invmask.attacks.triggers.frame import Frame\n")
    registry.write_text(registry.read_text().replace("(BadNets, Blended", "(Frame, BadNets, Blended"))
    return folder


def edit(path: Path, before: str, added: str) -> None:
    text = path.read_text()
    assert text.count(before) == 1
    path.write_text(text.replace(before, added + before))


def called(copy: Path, home: Path, *words: str) -> str:
    environment = {**os.environ, "INVMASK_HOME": str(home), "INVMASK_THREADS": "1", "PYTHONPATH": str(copy)}
    run = subprocess.run(
        [sys.executable, *words], cwd=copy, env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def test_the_defence_runs_and_keeps_the_contract(copy: Path, tmp_path: Path):
    words = ("-m", "invmask", "defend", "fashionmnist-cnn4-badnets", "--defense", "quiet", "--spc", "1", "--json")
    told = json.loads(called(copy, tmp_path, *words))
    assert told["rounds"] == {"cut": 5}
    assert told["pruned_view"]["acc"] != told["original"]["acc"]
    contract = ("-m", "pytest", "-q", "-k", "quiet", "tests/unit/test_defenses.py")
    assert " passed" in called(copy, tmp_path, *contract)


def test_the_attack_is_listed_and_keeps_the_contract(copy: Path, tmp_path: Path):
    listed = json.loads(called(copy, tmp_path, "-m", "invmask", "attacks", "--json"))
    assert "frame" in [attack["name"] for attack in listed]
    code = (
        "import torch; from invmask.attacks.registry import make_attack;"
        "print(make_attack('frame').apply(torch.zeros(1, 3, 8, 8)).sum())"
    )
    assert called(copy, tmp_path, "-c", code).strip() == "tensor(84.)"


def test_a_folder_of_pictures_is_a_data_set(copy: Path, tmp_path: Path):
    random = np.random.default_rng(0)
    for part, count in (("train", 3), ("val", 2)):
        for name in ("cat", "dog"):
            folder = tmp_path / "data" / "pets" / part / name
            folder.mkdir(parents=True)
            for place in range(count):
                Image.fromarray(random.integers(0, 255, (40, 40, 3), dtype=np.uint8)).save(folder / f"{place}.png")
    called(copy, tmp_path, "-m", "invmask", "data", "folder:pets@32")
    code = "from invmask.data.budget import clean_budget; print(len(clean_budget('folder:pets@32', 2, 0)))"
    assert called(copy, tmp_path, "-c", code).strip() == "4"


def test_the_page_shows(copy: Path, tmp_path: Path):
    code = (
        "from streamlit.testing.v1 import AppTest; app = AppTest.from_file('app.py', default_timeout=120);"
        "app.switch_page('pages/budget.py'); app.run(); assert not app.exception, app.exception;"
        "print(app.title[0].value, *[of.value for of in app.markdown], *[of.proto.body for of in app.get('html')])"
    )
    said = called(copy, tmp_path, "-c", code)
    assert "One clean image of each of the 10 classes." in said
    assert said.count("data:image/png") == 10
