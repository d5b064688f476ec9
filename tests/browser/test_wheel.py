"""The wheel, installed into an empty folder and called from another one: nothing of the repository is near."""

import json
import os
import re
import socket
import subprocess
import sys
import time
import tomllib
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

ROOT = Path(__file__).parents[2]
VICTIM = "fashionmnist-cnn4-badnets"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that holds invmask alone; what it needs is there already."""
    wheels, target = tmp_path_factory.mktemp("wheels"), tmp_path_factory.mktemp("installed")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(wheels), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = wheels.glob("*.whl")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(target), str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    return target


@pytest.fixture
def environment(installed: Path, tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(installed), "INVMASK_HOME": str(tmp_path / "home"), "INVMASK_THREADS": "1"}


def called(installed: Path, environment: dict[str, str], folder: Path, *words: str) -> str:
    run = [str(installed / "bin" / "invmask"), *words]
    return subprocess.run(run, cwd=folder, env=environment, check=True, capture_output=True, text=True).stdout


def test_the_command_lists_victims_and_defends_one(installed: Path, environment: dict[str, str], tmp_path: Path):
    names = [of["name"] for of in json.loads(called(installed, environment, tmp_path, "victims", "--json"))]
    assert VICTIM in names
    short = ("--spc", "2", "--rounds-max", "3", "--json")
    told = json.loads(called(installed, environment, tmp_path, "defend", VICTIM, *short))
    assert told["victim"] == VICTIM
    assert told["original"]["asr"] > 0.95
    # It was the installed one.
    where = subprocess.run(
        [sys.executable, "-c", "import invmask; print(invmask.__file__)"],
        cwd=tmp_path,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    assert Path(where.stdout.strip()).is_relative_to(installed)


@pytest.fixture
def served(installed: Path, environment: dict[str, str], tmp_path: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    words = [str(installed / "bin" / "invmask"), "app", "--port", str(port)]
    server = subprocess.Popen([*words], cwd=tmp_path, env={**environment, "STREAMLIT_SERVER_HEADLESS": "true"})
    try:
        yield f"http://localhost:{port}"
    finally:
        server.terminate()
        server.wait(timeout=30)


@pytest.mark.browser
def test_the_command_serves_the_dashboard(served: str, page):
    deadline = time.monotonic() + 120
    while True:
        try:
            assert urllib.request.urlopen(f"{served}/_stcore/health", timeout=5).read() == b"ok"
            break
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.3)
    page.goto(served)
    page.get_by_role("heading", level=1).wait_for()
    # Pictures and victims come along, and so do the sweeps of Results.
    expect(page.locator(".im-grid img").first).to_be_visible()
    # As its own config.toml says, and not as Streamlit does by itself.
    assert page.evaluate("getComputedStyle(document.documentElement).fontSize") == "17px"
    page.goto(f"{served}/results")
    page.get_by_text("measured beforehand").wait_for()


def test_what_is_installed_is_what_was_tested():
    """pyproject asks for what requirements.txt has, in the versions there or newer ones."""
    lines = (ROOT / "requirements.txt").read_text().split("# To test and check.")[0].splitlines()
    tested = dict(line.split("==") for line in lines if "==" in line)
    asked = dict(
        of.split(">=") for of in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    )
    assert list(asked) == list(tested)
    for name, least in asked.items():
        assert re.match(rf"{re.escape(least)}(\.|$)", tested[name]), name
