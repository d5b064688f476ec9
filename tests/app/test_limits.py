"""What a teacher sets: a password for the whole app, and how much one person may have."""

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from invmask import settings
from invmask.errors import UserError
from invmask.runs.store import owner, pruning
from invmask.runs.store.all_runs import RunStore
from invmask.ui.defend.state_line import place_words
from invmask.ui.shell import crowd, password
from invmask.ui.shell.crowd import HERE_SECONDS, Crowd
from tests.app.conftest import make_run, sentences, visit
from tests.unit.run_helpers import VICTIM, small_spec

PAGES = ["start", "defend", "flip", "neurons", "tune", "export", "results"]
KEY = owner.new_key()


@pytest.fixture(autouse=True)
def home(tiny_victims: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    password._tries.clear()
    monkeypatch.setattr(password, "_machine", lambda: "pupil")
    return tiny_victims.parent


def store() -> RunStore:
    return RunStore(settings.runs_folder())


def enter(app: AppTest, text: str) -> AppTest:
    app.text_input(key="password/field").set_value(text)
    next(each for each in app.button if each.label == "Open").click().run()
    assert not app.exception
    return app


def visitor(page: str, /, **query: str) -> AppTest:
    app = visit(page, **{"victim": VICTIM, **query})
    app.session_state["visitor/keys"] = [KEY]
    return app.run()


def press(app: AppTest, label: str) -> AppTest:
    next(each for each in app.button if each.label == label).click().run()
    assert not app.exception
    return app


@pytest.mark.parametrize("page", PAGES)
def test_every_page_asks_for_the_password(page: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("INVMASK_PASSWORD", "open sesame")
    run = make_run()
    app = visit(page, victim=VICTIM, run=run.id)
    assert [each.label for each in app.text_input] == ["Password"]
    assert [each.label for each in app.button] == ["Open"]
    assert not app.selectbox
    assert run.id not in str(app.main) + str(app.sidebar)
    enter(app, "wrong")
    assert sentences(app) == ["This is not the password. Try again."]
    assert not app.selectbox
    enter(app, "open sesame")
    assert app.selectbox
    # It is asked once a session.
    app.switch_page("pages/flip.py").run()
    assert app.selectbox


def test_another_password_is_asked_for_again(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("INVMASK_PASSWORD", "one")
    app = enter(visit("start"), "one")
    monkeypatch.setenv("INVMASK_PASSWORD", "two")
    app.run()
    assert not app.selectbox


def test_few_tries_are_heard(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("INVMASK_PASSWORD", "open sesame")
    monkeypatch.setattr(password, "SECONDS", 1e6)  # no matter how slow the machine is
    app = visit("start")
    for number in range(password.TRIES):
        enter(app, f"wrong {number}")
    enter(app, "open sesame")
    assert sentences(app)[0].startswith("Too many wrong passwords. Try again in ")
    # Nor in a new session.
    assert sentences(enter(visit("start"), "open sesame"))[0].startswith("Too many")
    monkeypatch.setattr(password, "SECONDS", 0.0)
    assert enter(app, "open sesame").selectbox


def test_wrong_tries_of_one_machine_do_not_lock_out_another():
    tries = password.Tries()
    for second in range(password.TRIES):
        tries.wrong("a", second)
    assert tries.wait("a", 10.0) == pytest.approx(50.0)
    assert tries.wait("b", 10.0) == 0
    assert tries.wait("a", 61.0) == 0


@pytest.mark.parametrize("name", ["INVMASK_OWNER_RUNS", "INVMASK_OWNER_MB", "INVMASK_KEEP_DAYS", "INVMASK_KEEP_MB"])
@pytest.mark.parametrize("value", ["0", "-1", "many", "1.5", "1000000"])
def test_a_limit_is_a_whole_number(name: str, value: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(name, value)
    reads = (settings.owner_runs, settings.owner_bytes, settings.keep_days, settings.keep_bytes)
    with pytest.raises(UserError, match=f"{name} has to be a whole number"):
        [read() for read in reads]


def test_one_person_may_have_so_many_runs_under_way(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("INVMASK_OWNER_RUNS", "1")
    other = store().create(small_spec(), owner=owner.new_key())
    store().go_on(other.id)
    app = press(visitor("defend"), "Run")
    assert len(store().runs()) == 2
    app = press(visitor("defend"), "Run")
    assert len(store().runs()) == 2
    assert any("A run of yours goes on already" in each for each in sentences(app))
    # A run that is paused makes room.
    mine = next(run for run in store().runs() if run.id != other.id)
    store().pause(mine.id)
    press(visitor("defend"), "Run")
    assert len(store().runs()) == 3
    # And cannot go on beside the other.
    press(visitor("defend", run=mine.id), "Run")
    assert not mine.has_work()


def test_one_persons_runs_may_be_so_large(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("INVMASK_OWNER_MB", "1")
    run = store().create(small_spec(), owner=KEY)
    (run.path / "ballast").write_bytes(b"x" * 1_000_000)
    app = press(visitor("defend"), "Step")
    assert len(store().runs()) == 1
    assert any("Your runs take 1 MB" in each for each in sentences(app))


def test_who_looks_at_a_run_that_will_go_is_told(monkeypatch: pytest.MonkeyPatch):
    run = make_run()
    monkeypatch.setattr(pruning, "announced", lambda _: {run.id: 1_800_000_000.0})
    app = visit("flip", run=run.id)
    assert any("will be deleted on 15 Jan 2027, 08:00" in each for each in sentences(app))


def test_the_place_in_the_queue():
    queue = [f"run {number}" for number in range(12)]
    assert place_words("run 4", queue, 2) == "turn 5 of 12 waiting, 2 at a time"
    assert place_words("run 0", queue[:1], 1) == "next in turn"
    assert place_words("run 1", queue[:2], 1) == "turn 2 of 2 waiting, one at a time"
    assert place_words("other", queue, 2) == ""


def test_many_readers_look_less_often(monkeypatch: pytest.MonkeyPatch):
    many = Crowd()
    assert [many.note("a"), many.note("b"), many.note("a")] == [1, 2, 2]
    now = crowd.time.monotonic()
    monkeypatch.setattr(crowd.time, "monotonic", lambda: now + HERE_SECONDS + 1)
    assert many.note("c") == 1
    looks = {}
    for readers in (1, 5, 6, 30):
        monkeypatch.setattr(crowd, "_crowd", lambda count=readers: type("", (), {"note": lambda *_: count})())
        looks[readers] = crowd.slowed(1.0)
    assert looks == {1: 1.0, 5: 1.0, 6: 2.0, 30: 8.0}
