"""README and the manual show what there is: links, tables from the raw results, and Python that runs."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import tables
from tests.unit.run_helpers import ROOT

README = ROOT / "README.md"
LINKS = [
    pytest.param(page, link, id=f"{page.stem}-{link}")
    for page in [*tables.pages(), ROOT / "CONTRIBUTING.md"]
    for link in sorted(set(re.findall(r"\]\(([^)\s]+)\)", page.read_text())))
    if not link.startswith(("http", "#"))
]
MOST_LINES = 150


@pytest.mark.parametrize(("page", "link"), LINKS)
def test_what_is_linked_is_there(page: Path, link: str):
    assert (page.parent / link.partition("#")[0]).exists()


@pytest.mark.parametrize("page", tables.pages(), ids=lambda page: page.stem)
def test_every_table_is_made_from_the_raw_results_that_lie_here(page: Path):
    text = page.read_text()
    assert tables.renewed(text) == text, "run python -m benchmarks.tables"


def test_a_table_that_is_stale_is_made_anew():
    text = "before\n<!-- numbers: ceiling -->\nold\n<!-- /numbers: ceiling -->\nbehind\n"
    made = tables.renewed(text)
    assert made.startswith("before\n<!-- numbers: ceiling -->\n| trigger ")
    assert made.endswith("<!-- /numbers: ceiling -->\nbehind\n")
    with pytest.raises(KeyError):
        tables.renewed("<!-- numbers: nothing -->\n<!-- /numbers: nothing -->")


def test_every_table_is_on_one_page():
    on = [name for page in tables.pages() for name in re.findall(r"<!-- numbers: (\w+) -->", page.read_text())]
    assert sorted(on) == sorted(tables.TABLES)


def test_readme_is_read_in_one_sitting():
    assert len(README.read_text().splitlines()) <= MOST_LINES


def test_the_manual_is_made_without_a_warning(tmp_path: Path):
    words = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--quiet", str(ROOT / "docs"), str(tmp_path)]
    made = subprocess.run(words, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "method.html").exists()


def test_the_python_in_readme_runs(tmp_path: Path):
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert len([line for line in code.splitlines() if line.strip()]) <= 15
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "INVMASK_HOME": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert "likely backdoored" in run.stdout
    assert (tmp_path / "repaired.onnx").stat().st_size > 10_000
