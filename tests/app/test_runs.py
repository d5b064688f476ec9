"""Runs in the sidebar: their list, names and deletion; and pages whose run is gone or damaged."""

from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from invmask import settings
from invmask.exports import jobs
from invmask.runs.store import files
from invmask.runs.store.all_runs import RunStore
from invmask.runs.store.run import Run
from invmask.runs.work import cut_curves, evidence
from invmask.ui.shell import address, cache, sidebar
from tests.app.conftest import make_run, sentences, visit
from tests.unit.run_helpers import VICTIM, small_spec

PAGES = ["defend", "flip", "neurons", "tune", "export"]

pytestmark = pytest.mark.usefixtures("tiny_victims")


def store() -> RunStore:
    return RunStore(settings.runs_folder())


def button(app: AppTest, label: str) -> Any:
    (found,) = [each for each in app.button if each.label == label]
    return found


def labels(app: AppTest) -> list[str]:
    return [each.label for each in app.button]


def spoil(run: Run, name: str) -> None:
    (run.path / name).write_bytes(b"[")


@pytest.mark.parametrize("page", PAGES)
def test_of_a_run_that_is_gone_a_page_says_so_and_shows_the_way_on(page: str):
    other, gone = make_run(), make_run(rounds=1)
    app = visit(page, run=gone.id)
    store().delete(gone.id)
    app.run()
    assert not app.exception
    assert any(f"There is no run `{gone.id}`" in sentence for sentence in sentences(app))
    if page == "defend":
        assert not button(app, "Run").disabled
    else:
        button(app, "Open the latest run").click().run()
        assert app.query_params["run"] == other.id
    assert not app.exception


@pytest.mark.parametrize("name", [files.SPEC, files.STATE, files.SHAPES, files.WANT])
@pytest.mark.parametrize("page", PAGES)
def test_of_a_damaged_run_a_page_says_so_and_shows_the_way_on(page: str, name: str):
    other, bad = make_run(), make_run(rounds=1)
    app = visit(page, run=bad.id)
    spoil(bad, name)
    app.run()
    assert not app.exception
    (told,) = [sentence for sentence in sentences(app) if "is damaged" in sentence]
    assert bad.id in told
    assert "python" not in told
    button(app, "Delete the damaged run").click().run()
    assert bad.path.exists()
    button(app, "Yes, delete it").click().run()
    assert not app.exception
    assert not bad.path.exists()
    assert "run" not in app.query_params
    assert not any("damaged" in sentence for sentence in sentences(app))
    assert other.path.exists()


@pytest.mark.parametrize("page", PAGES)
def test_another_run_is_chosen_instead_of_a_damaged_one(page: str):
    bad = make_run(rounds=1)
    spoil(bad, files.STATE)
    app = visit(page, run=bad.id)
    assert not app.exception
    button(app, "Choose another run").click().run()
    assert not app.exception
    assert "run" not in app.query_params
    assert not any("damaged" in sentence for sentence in sentences(app))


@pytest.mark.parametrize("spoilt", [None, files.STATE, files.SPEC])
@pytest.mark.parametrize("page", PAGES)
def test_while_a_part_of_the_page_is_drawn_again_and_again(
    page: str, spoilt: str | None, monkeypatch: pytest.MonkeyPatch
):
    """The run goes in the moment after the page was drawn, and before its parts ask again."""
    run = make_run(rounds=1)
    evidence.ask(run, 1)
    cut_curves.ERRAND.ask(run, 1)
    if page == "defend":
        store().go_on(run.id)
    follow, seen = address.arrive, []

    def arrive(title: str) -> None:
        follow(title)
        seen.append(address.current_run())
        if len(seen) == 2:
            if spoilt is None:
                store().delete(run.id)
            else:
                spoil(run, spoilt)

    monkeypatch.setattr(address, "arrive", arrive)
    app = visit(page, run=run.id)
    app.run()
    assert not app.exception
    words = f"There is no run `{run.id}`" if spoilt is None else f"Run {run.id} is damaged"
    assert any(words in sentence for sentence in sentences(app))
    if spoilt is None:
        # Drawn once more without it.
        assert seen[-1] is None
    else:
        assert "Delete the damaged run" in labels(app)


@pytest.mark.parametrize("page", PAGES)
def test_of_a_run_that_goes_while_a_page_is_drawn_there_is_no_error(page: str, monkeypatch: pytest.MonkeyPatch):
    run, drawn = make_run(rounds=1), sidebar.show

    def show() -> Any:
        told = drawn()
        if run.path.exists():
            store().delete(run.id)
        return told

    monkeypatch.setattr(sidebar, "show", show)
    app = visit(page, run=run.id)
    assert not app.exception
    assert not app.error
    assert any(f"There is no run `{run.id}`" in sentence for sentence in sentences(app))


@pytest.mark.usefixtures("tiny_victims")
def test_buttons_of_a_run_that_is_gone_do_nothing():
    run = make_run()
    (run.path / "tuning").mkdir()
    files.write_json(run.path / cut_curves.ERRAND.status, {"message": "It went wrong."})
    app = visit("tune", run=run.id)
    again = button(app, "Try again")
    store().delete(run.id)
    again.click().run()
    assert not app.exception
    assert any("There is no run" in sentence for sentence in sentences(app))


def test_an_export_that_begins_after_the_end_of_its_run_brings_no_folder_back(monkeypatch: pytest.MonkeyPatch):
    run = make_run()
    rests_on = jobs.rests_on

    def late(*of: Any) -> Any:
        found = rests_on(*of)
        store().delete(run.id)
        return found

    monkeypatch.setattr(jobs, "rests_on", late)
    with pytest.raises(jobs.UserError, match="The export cannot be started"):
        jobs.start(run, jobs.Request("report", 3))
    assert not run.path.exists()


def test_a_name_is_given_shown_as_text_and_taken_away():
    run = make_run(rounds=1)
    app = visit("defend", run=run.id)
    name = "<b>my</b> *best* $x$ :red[run]"
    app.text_input(key=f"run-menu/name/{run.id}/").set_value(name).run()
    button(app, "Save the name").click().run()
    assert not app.exception
    assert run.summary().name == name
    assert f"{name} · {run.id[-4:]}" in app.selectbox(key=f"sidebar/run/{run.id}").options
    captions = "".join(caption.value for caption in app.sidebar.caption)
    assert r"\<b\>my\<\/b\> \*best\* \$x\$ \:red\[run\]" in captions
    assert "*best* " not in captions.replace(r"\*best\*", "")
    app.text_input(key=f"run-menu/name/{run.id}/{name}").set_value(" ").run()
    button(app, "Save the name").click().run()
    assert run.summary().name == ""
    assert f"paper, SPC 1, seed 0 · {run.id[-4:]}" in app.selectbox(key=f"sidebar/run/{run.id}").options


def test_a_run_is_deleted_once_the_question_is_answered():
    other, run = make_run(rounds=1), make_run(rounds=1)
    app = visit("flip", run=run.id)
    button(app, "Delete this run").click().run()
    button(app, "Keep it").click().run()
    assert run.path.exists()
    button(app, "Delete this run").click().run()
    button(app, "Yes, delete it").click().run()
    assert not app.exception
    assert not run.path.exists()
    assert "run" not in app.query_params
    (chooser,) = [box for box in app.selectbox if box.label == "Run"]
    assert [option[-4:] for option in chooser.options[1:]] == [other.id[-4:]]


def test_a_run_that_is_busy_is_kept_and_told_of(monkeypatch: pytest.MonkeyPatch):
    run = make_run(rounds=1)
    executor = cache.executor()
    monkeypatch.setattr(cache, "executor", lambda: executor)
    monkeypatch.setattr(executor, "delete", lambda run_id: store().delete(run_id, patience=0.1))
    app = visit("flip", run=run.id)
    button(app, "Delete this run").click().run()
    with run.advance_lock():
        button(app, "Yes, delete it").click().run()
    assert run.path.exists()
    assert any("still busy with a round" in sentence for sentence in sentences(app))
    assert app.query_params["run"] == run.id


def test_the_list_says_time_state_and_result(monkeypatch: pytest.MonkeyPatch):
    paused, done = make_run(rounds=1), store().create(small_spec())
    store().go_on(done.id)
    from invmask.runs.work.advance import advance
    from invmask.runs.work.bench import Bench

    monkeypatch.setattr(Bench, "all_test_images", lambda bench: bench.probe)
    advance(done.path)
    store().rename(done.id, "a *name*")
    app = visit("flip", victim=VICTIM)
    assert not app.exception
    (found,) = [each for each in app.radio if each.key.startswith("run-menu/rows/")]
    rows = dict(zip(found.options, found.proto.captions, strict=True))
    asr = 100 * done.result().views.pruned.asr
    assert rows[rf"a \*name\* · {done.id[-4:]}"].endswith(f" · finished · ASR\u00a0{asr:.1f}\u00a0%")
    assert rows[rf"paper\, SPC 1\, seed 0 · {paused.id[-4:]}"].endswith(" · paused")
    found.set_value(paused.id).run()
    assert app.query_params["run"] == paused.id
