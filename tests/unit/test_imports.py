"""The house's import rules: import-linter's contracts, and what lies outside the package."""

import ast
import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(
    path.relative_to(ROOT)
    for path in [ROOT / "app.py", *(ROOT / "pages").rglob("*.py"), *(ROOT / "invmask").rglob("*.py")]
)


def imported(tree: ast.AST) -> set[str]:
    """Top-level names of the modules that are imported anywhere, inside functions too."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or ".")
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in {"__import__", "importlib.import_module"}:
            names.add(ast.unparse(node.args[0]).strip("'\""))
    return names


def tops(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imported(ast.parse((ROOT / path).read_text()))}


def test_the_walk_sees_every_spelling():
    source = "def f():\n import a.b as c\n from d.e import f\n importlib.import_module('g.h')\n __import__('i')\n"
    assert imported(ast.parse(source)) == {"a.b", "d.e", "g.h", "i"}


def test_the_contracts_hold():
    lint = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        check=False,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert lint.returncode == 0, lint.stdout + lint.stderr
    assert "0 broken" in lint.stdout


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_only_the_dashboard_speaks_to_streamlit(path: Path):
    may = path.parts[0] in {"app.py", "pages"} or path.parts[:2] == ("invmask", "ui")
    assert may or "streamlit" not in tops(path)


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_nothing_in_the_product_needs_the_test_tools(path: Path):
    assert tops(path).isdisjoint({"pytest", "hypothesis", "playwright", "tests", "benchmarks", "app", "pages"})


def needed(sources: list[Path]) -> dict[str, set[Path]]:
    """Names, as in requirements.txt, of the packages that files import, each with the files."""
    ours = {"invmask", "tests", "benchmarks"}
    packages = importlib.metadata.packages_distributions()
    found: dict[str, set[Path]] = {}
    for path in sources:
        for top in tops(path) - sys.stdlib_module_names - ours:
            found.setdefault(packages[top][0].lower().replace("_", "-"), set()).add(path)
    return found


def test_what_the_product_imports_is_installed_to_run_it():
    run, test = (ROOT / "requirements.txt").read_text().split("# To test and check.")
    listed, for_tests = (set(re.findall(r"^([\w-]+)(?:\[\w+\])?==", part, re.MULTILINE)) for part in (run, test))
    assert {name: paths for name, paths in needed(SOURCES).items() if name not in listed} == {}
    others = [path.relative_to(ROOT) for folder in ("tests", "benchmarks") for path in (ROOT / folder).rglob("*.py")]
    assert {name: paths for name, paths in needed(others).items() if name not in listed | for_tests} == {}


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_no_file_outgrows_one_sitting(path: Path):
    assert len((ROOT / path).read_text().splitlines()) <= 350
    assert path.name not in {"utils.py", "helpers.py", "common.py", "misc.py"}


def test_the_package_does_not_load_streamlit_by_itself():
    run = subprocess.run(
        [sys.executable, "-c", "import sys, invmask.runs, invmask.figures, invmask.defenses.base; print(*sys.modules)"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "streamlit" not in run.stdout.split()
