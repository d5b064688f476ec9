"""The dashboard's pages, run by Streamlit's own AppTest on tiny victims and a run of a few rounds."""

import json
from pathlib import Path
from typing import Any

import pytest
from streamlit.runtime.pages_manager import PagesManager
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Slider

from invmask import settings
from invmask.runs.cluster.executor import Executor
from invmask.runs.store.all_runs import RunStore
from invmask.runs.store.run import Run
from invmask.ui.shell import cache, navigation
from tests.unit.run_helpers import VICTIM, small_spec, taken, write_victims

APP = Path(__file__).resolve().parents[2] / "app.py"
SECONDS = 300


@pytest.fixture(autouse=True)
def idle_executor(monkeypatch: pytest.MonkeyPatch) -> None:
    """An executor that writes down what is asked of it and does nothing."""
    monkeypatch.setattr(cache, "executor", lambda: Executor(RunStore(settings.runs_folder())))


@pytest.fixture(autouse=True)
def new_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """AppTest has Streamlit forget with every run that there is a menu, as if the server had begun anew."""
    monkeypatch.setattr(navigation, "entered", lambda: not PagesManager.uses_pages_directory)


@pytest.fixture
def tiny_victims(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A backdoored victim and a clean control, and no others."""
    folder = own_home / "victims"
    write_victims(folder)
    monkeypatch.setattr(settings, "victim_folders", lambda *_: [folder])
    return folder


def make_run(victim: str = VICTIM, rounds: int = 3, per_class: int = 2) -> Run:
    """A run that took some rounds and paused."""
    return taken(settings.home(), small_spec(victim, probe_per_class=per_class), rounds)


def visit(page: str = "start", /, **query: str) -> AppTest:
    """A visitor who opens the app by an address: a page, and what the address holds."""
    app = AppTest.from_file(str(APP), default_timeout=SECONDS)
    for name, value in query.items():
        app.query_params[name] = value
    if page != "start":
        app.switch_page(f"pages/{page}.py")
    return app.run()


def sentences(app: AppTest) -> list[str]:
    """What the page says to somebody in trouble."""
    return [element.value for kind in (app.error, app.warning, app.info) for element in kind]


def charts(app: AppTest) -> dict[str, Any]:
    """The figures of the page's charts that stay while their data change, by the key of each."""
    found = [each.proto for each in app.get("bidi_component") if each.proto.component_name == "invmask_kept_chart"]
    # A component's id is a mark, a hash and its key.
    return {proto.id.split("-", 2)[2]: json.loads(json.loads(proto.json)["figure"]) for proto in found}


def address_of(app: AppTest) -> dict[str, str]:
    """What the page's address holds beside victim and run."""
    held = {name: app.query_params[name] for name in app.query_params if name not in ("victim", "run")}
    return {name: value if isinstance(value, str) else value[-1] for name, value in held.items()}


def round_slider(app: AppTest) -> Slider[int]:
    """The slider over the rounds beside a page's title."""
    return next(slider for slider in app.slider if slider.label == "Round")
