from pathlib import Path

import pytest

from invmask import settings
from invmask.errors import UserError


def test_defaults(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("INVMASK_HOME")
    assert settings.home().name == "invmask"
    assert settings.data_folder() == settings.home() / "data"
    assert settings.runs_folder() == settings.home() / "runs"
    assert settings.scheduler() is None
    assert settings.device() == "cpu"


def test_folders_follow_the_home(own_home: Path, monkeypatch: pytest.MonkeyPatch):
    assert settings.home() == own_home
    embedded, of_benchmarks, own = settings.victim_folders()
    assert embedded == settings.ASSETS / "victims"
    assert of_benchmarks == settings.BENCHMARKS / "victims"
    assert own == own_home / "victims"
    assert settings.victim_folders(Path("/elsewhere"))[-1] == Path("/elsewhere/victims")
    monkeypatch.setenv("INVMASK_DATA", "~/images")
    assert settings.data_folder() == Path.home() / "images"


@pytest.mark.parametrize(("cores", "threads", "workers"), [(1, 1, 1), (2, 2, 2), (4, 4, 4), (16, 4, 16), (7, 4, 7)])
def test_one_run_has_the_cores_of_a_small_machine_and_each_core_may_have_a_worker(
    monkeypatch: pytest.MonkeyPatch, cores: int, threads: int, workers: int
):
    monkeypatch.setattr(settings, "cores", lambda: cores)
    assert (settings.threads(), settings.workers()) == (threads, workers)


@pytest.mark.parametrize(
    ("cores", "runs", "taken", "threads"), [(2, 1, 2, 1), (2, 2, 0, 1), (16, 3, 4, 4), (16, 12, 0, 1), (8, 1, 99, 1)]
)
def test_runs_made_beside_others_share_the_cores_that_are_left(
    monkeypatch: pytest.MonkeyPatch, cores: int, runs: int, taken: int, threads: int
):
    monkeypatch.setattr(settings, "cores", lambda: cores)
    assert settings.threads(runs, taken) == threads
    monkeypatch.setenv("INVMASK_THREADS", "3")
    assert settings.threads(runs, taken) == 3


def test_an_accelerator_has_one_worker_unless_more_are_asked_for(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(settings, "cores", lambda: 16)
    monkeypatch.setenv("INVMASK_DEVICE", "cuda:1")
    assert settings.workers() == 1
    monkeypatch.setenv("INVMASK_WORKERS", "2")
    assert settings.workers() == 2


def test_what_is_given_goes_first(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(settings, "cores", lambda: 8)
    monkeypatch.setenv("INVMASK_THREADS", "2")
    assert (settings.threads(), settings.workers()) == (2, 4)
    monkeypatch.setenv("INVMASK_THREADS", "1")
    assert (settings.threads(), settings.workers()) == (1, 8)
    monkeypatch.setenv("INVMASK_WORKERS", "3")
    assert settings.workers() == 3
    monkeypatch.setenv("INVMASK_SCHEDULER", "tcp://lab.example:8786")
    assert settings.scheduler() == "tcp://lab.example:8786"
    monkeypatch.setenv("INVMASK_DEVICE", "cuda:1")
    assert settings.device() == "cuda:1"


@pytest.mark.parametrize(
    ("variable", "value", "ask"),
    [
        ("INVMASK_THREADS", "0", settings.threads),
        ("INVMASK_THREADS", "two", settings.threads),
        ("INVMASK_THREADS", "1e3", settings.threads),
        ("INVMASK_WORKERS", "-1", settings.workers),
        ("INVMASK_WORKERS", "1000", settings.workers),
        ("INVMASK_SCHEDULER", "localhost", settings.scheduler),
        ("INVMASK_SCHEDULER", "http://localhost:8786", settings.scheduler),
        ("INVMASK_DEVICE", "tpu", settings.device),
        ("INVMASK_BUILT_IN_RUNS", "maybe", settings.built_in_runs),
        ("INVMASK_HOME", __file__, settings.home),
    ],
)
def test_nonsense_is_a_sentence(monkeypatch: pytest.MonkeyPatch, variable: str, value: str, ask):
    monkeypatch.setenv(variable, value)
    with pytest.raises(UserError, match=variable) as raised:
        ask()
    assert str(raised.value).endswith(".")
    assert "\n" not in str(raised.value)
