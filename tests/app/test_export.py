"""Export: what can be ticked, what is asked of the background, and what is found again after a reload."""

import json
import zipfile

import pytest

from invmask.exports import jobs
from invmask.exports.book import BOOK, entries_of
from invmask.exports.jobs import JobStatus, Request
from invmask.exports.work import make
from invmask.frames.run_records import read_records
from invmask.runs.store import files, named_masks
from tests.app.conftest import make_run, round_slider, sentences, visit
from tests.unit.run_helpers import CONTROL, VICTIM, advance_to

pytestmark = pytest.mark.usefixtures("tiny_victims")


@pytest.fixture
def asked(monkeypatch):
    """What the page asks the background for."""
    requests = []
    monkeypatch.setattr("invmask.ui.export.job.jobs.start", lambda _, request: requests.append(request))
    return requests


def button(app, key):
    return next(button for button in app.button if button.key == key)


def make_here(run, request):
    folder = jobs.folder_of(run, request)
    folder.mkdir(parents=True)
    files.write_json(folder / jobs.REQUEST, jobs.asdict(request))
    return make(folder)


def test_everything_is_ticked_at_first(asked):
    run = make_run(rounds=3)
    app = visit("export", run=run.id)
    assert not app.exception
    ticks = [box.key.rpartition("/")[2] for box in app.checkbox]
    assert sorted(ticks) == sorted(entry.name for entry in entries_of(read_records(run)))
    assert all(box.value for box in app.checkbox)
    button(app, "export/make/figures").click().run()
    every = tuple(entry.name for entry in entries_of(read_records(run)))
    assert asked == [Request("figures", 3, ("svg", "pdf", "png", "html", "csv"), every)]
    button(app, "export/make/report").click().run()
    assert asked[-1] == Request("report", 3)
    round_slider(app).set_value(2).run()
    button(app, "export/make/report").click().run()
    assert asked[-1] == Request("report", 2)
    assert any("after round 2" in caption.value for caption in app.caption)


def test_what_is_unticked_is_left_out(asked):
    run = make_run(rounds=3)
    app = visit("export", run=run.id)
    for box in app.checkbox:
        if box.key != "export/figure/defend-losses":
            box.uncheck()
    app.run()
    assert button(app, "export/make/figures").label == "Make an archive of 1 figure"
    button(app, "export/make/figures").click().run()
    assert asked[-1].figures == ("defend-losses",)
    app.checkbox(key="export/figure/defend-losses").uncheck().run()
    assert button(app, "export/make/figures").disabled
    # It stays so when one comes back from another page.
    app.switch_page("pages/neurons.py").run()
    app.switch_page("pages/export.py").run()
    assert not any(box.value for box in app.checkbox)
    assert button(app, "export/make/figures").disabled


def test_all_or_none_are_ticked_of_a_page_or_of_all(asked):
    run = make_run(rounds=3)
    app = visit("export", run=run.id, sample="1", channel="layer4.0.conv1:3")
    every = entries_of(read_records(run))
    of_defend = {entry.name for entry in every if entry.page == "Defend"}

    def ticked():
        return {box.key.rpartition("/")[2] for box in app.checkbox if box.value}

    button(app, "export/none/Defend").click().run()
    assert ticked() == {entry.name for entry in every} - of_defend
    button(app, "export/none/").click().run()
    assert (ticked(), button(app, "export/make/figures").disabled) == (set(), True)
    button(app, "export/all/Defend").click().run()
    assert ticked() == of_defend
    # One by one after that, and after a look at another page.
    app.checkbox(key="export/figure/defend-losses").uncheck().run()
    app.switch_page("pages/neurons.py").run()
    app.switch_page("pages/export.py").run()
    assert ticked() == of_defend - {"defend-losses"}
    assert not app.exception
    assert not app.warning
    assert {name: app.query_params[name] for name in ("sample", "channel")} == {
        "sample": "1",
        "channel": "layer4.0.conv1:3",
    }
    button(app, "export/make/figures").click().run()
    assert set(asked[-1].figures) == of_defend - {"defend-losses"}
    button(app, "export/all/").click().run()
    assert ticked() == {entry.name for entry in every}


def test_the_width_is_chosen_and_kept(asked):
    run = make_run(rounds=2)
    app = visit("export", run=run.id)
    group = next(group for group in app.get("button_group") if group.key == "export/width")
    assert list(group.options) == ["88 mm, one column", "180 mm, two columns"]
    group.set_value(180).run()
    app.switch_page("pages/neurons.py").run()
    app.switch_page("pages/export.py").run()
    button(app, "export/make/figures").click().run()
    assert asked[-1].width_mm == 180


def test_the_model_is_asked_for_with_view_and_mask(asked):
    run = make_run(rounds=3)
    named_masks.save(run, "by hand", run.masks_at(1))
    app = visit("export", run=run.id)
    button(app, "export/make/model").click().run()
    assert asked[-1] == Request("model", 3, ("safetensors", "onnx", "mask"), view="pruned")
    next(group for group in app.get("button_group") if group.key.startswith("export/view/")).set_value("inverse").run()
    app.selectbox(key=f"export/mask/{run.id}").select("by hand").run()
    # It stays so when one comes back from another page.
    app.switch_page("pages/flip.py").run()
    app.switch_page("pages/export.py").run()
    button(app, "export/make/model").click().run()
    assert (asked[-1].view, asked[-1].mask) == ("inverse", "by hand")
    assert asked[-1].stamp == named_masks.stamp(run, "by hand") != 0


def test_what_was_made_is_found_again_by_anybody():
    run = make_run(rounds=2)
    request = Request("figures", 2, ("csv",), ("defend-measures",))
    status = make_here(run, request)
    app = visit("export", run=run.id)
    assert not app.exception
    (download,) = app.get("download_button")
    assert download.label.startswith("Download the archive (")
    assert any("1 figure as CSV, 88 mm wide; after round 2" in caption.value for caption in app.caption)
    with zipfile.ZipFile(jobs.folder_of(run, request) / status.files[0]) as archive:
        assert "defend-measures.csv" in archive.namelist()


def test_progress_failure_and_disagreement_are_told():
    run = make_run(rounds=2)
    told = {
        "figures": JobStatus.working(1, 4, "Synthesized triggers"),
        "report": JobStatus("failed", notes=("The disk is full.",)),
        "model": JobStatus("done", notes=("model.onnx: It does NOT agree.",), agrees=False),
    }
    for kind, status in told.items():
        folder = jobs.folder_of(run, Request(kind, 2))
        folder.mkdir(parents=True)
        files.write_json(folder / jobs.REQUEST, jobs.asdict(Request(kind, 2)))
        jobs.write_status(folder, status)
    app = visit("export", run=run.id)
    assert not app.exception
    assert any(json.loads(json.dumps(bar.proto.text)) == "Synthesized triggers (2 of 4)" for bar in app.get("progress"))
    assert {"The disk is full.", "model.onnx: It does NOT agree."} <= set(sentences(app))
    assert any("do not use it" in sentence for sentence in sentences(app))


def test_who_waits_is_told_the_place_in_the_queue(monkeypatch):
    tended = []
    monkeypatch.setattr(jobs.queue, "tend", lambda *_: tended.append(1))
    busy, run = make_run(rounds=2), make_run(rounds=2)
    for of, request in ((busy, Request("report", 1)), (run, Request("report", 2)), (run, Request("model", 2))):
        folder = jobs.folder_of(of, request)
        folder.mkdir(parents=True)
        files.write_json(folder / jobs.REQUEST, jobs.asdict(request))
        jobs.write_status(folder, JobStatus.working() if of is busy else JobStatus("waiting"))
        jobs.queue.enter(of.path.parents[1], folder)
    app = visit("export", run=run.id)
    assert not app.exception
    told = [bar.proto.text for bar in app.get("progress")]
    assert told == [f"{place} in the queue: exports are made one after the other" for place in ("2nd", "3rd")]
    # Where nobody else does, as after a restart of the dashboard, the page has the queue go on.
    assert tended


def test_what_was_picked_on_flip_and_neurons_is_taken_along_in_the_address(asked):
    run = make_run(rounds=3)
    app = visit("flip", run=run.id, pick="2,4")
    app.switch_page("pages/neurons.py").run()
    app.query_params["channel"], app.query_params["draw"] = "layer4.0.conv1:3", "2"
    app.run()
    app.switch_page("pages/export.py").run()
    assert not app.exception
    assert {name: app.query_params[name] for name in ("sample", "channel", "draw")} == {
        "sample": "4",
        "channel": "layer4.0.conv1:3",
        "draw": "2",
    }
    button(app, "export/make/report").click().run()
    assert asked[-1] == Request("report", 3, sample="4", channel="layer4.0.conv1:3", draw=2)
    # Looked at last stays so after a look at the overview.
    app.switch_page("pages/neurons.py").run()
    app.query_params["channel"] = ""
    app.run()
    app.switch_page("pages/export.py").run()
    assert app.query_params["channel"] == "layer4.0.conv1:3"
    app.selectbox(key="export/sample").set_value("clean-1").run()
    app.selectbox(key="export/channel").set_value("").run()
    assert app.query_params["sample"] == "clean-1"
    assert "channel" not in app.query_params
    again = visit("export", run=run.id, sample="clean-1", channel="nonsense")
    button(again, "export/make/figures").click().run()
    assert (asked[-1].sample, asked[-1].channel) == ("clean-1", None)


def test_a_job_draws_what_was_picked():
    run = make_run(rounds=2)
    request = Request("figures", 2, ("csv",), ("flip-probabilities",), sample="clean-1")
    status = make_here(run, request)
    with zipfile.ZipFile(jobs.folder_of(run, request) / status.files[0]) as archive:
        assert "Sample 1, clean" in archive.read("flip-probabilities.txt").decode()


def test_a_clean_control_has_no_trigger_to_show():
    run = make_run(CONTROL, rounds=2)
    app = visit("export", run=run.id)
    assert not app.exception
    assert "export/figure/start-trigger" not in [box.key for box in app.checkbox]


def test_without_a_browser_it_says_what_can_be_made(monkeypatch):
    monkeypatch.setattr("invmask.ui.export.sections.find_browser", lambda: None)
    app = visit("export", run=make_run(rounds=1).id)
    assert any("no Chrome or Chromium" in sentence for sentence in sentences(app))


def test_without_a_run_or_a_round_it_says_what_to_do():
    app = visit("export", victim=VICTIM)
    assert not app.exception
    assert "no run to take away from" in sentences(app)[0]
    run = make_run(rounds=0)
    assert "no round yet" in sentences(visit("export", run=run.id))[0]


@pytest.mark.parametrize("draw", ["9" * 5_000, "-1", "\u0663", "x"])
def test_a_draw_that_makes_no_sense_is_the_first(draw, asked):
    app = visit("export", run=make_run(rounds=1).id, draw=draw)
    assert not app.exception
    button(app, "export/make/report").click().run()
    assert asked == [Request("report", 1)]
    assert not visit("start", victim=VICTIM, draw=draw).exception


def test_a_later_round_is_another_export(asked):
    run = make_run(rounds=1)
    app = visit("export", run=run.id)
    advance_to(run, 2)
    app.run()
    button(app, "export/make/report").click().run()
    assert asked == [Request("report", 2)]


def test_every_chart_has_its_own_menu():
    run = make_run(rounds=6)
    app = visit("defend", run=run.id)
    held = [json.loads(element.proto.json) for element in app.main if element.type == "bidi_component"]
    charts = [of["alt"] for of in held if "figure" in of]
    menus = [block.proto.popover.label for block in app.get("popover")]
    # The synthesized triggers are pictures, not a chart.
    assert (menus.count("Save figure"), len(charts)) == (3, 2)
    # What a menu holds is sent when it is opened, not with every round.
    assert not [element for element in app.main if "save-body" in str(getattr(element, "key", ""))]


def test_pages_stand_in_their_order_and_both_columns_are_about_as_high():
    from invmask.ui.export.sections import _left_half

    pages = ["Start"] + ["Defend"] * 8 + ["Flip"] * 2 + ["Neurons"] * 14 + ["Tune"] * 2
    assert _left_half(pages) == ["Start", "Defend", "Flip"]
    assert _left_half(["Defend"] * 3) == ["Defend"]
    app = visit("export", run=make_run(rounds=2).id)
    every = [entry.page for entry in BOOK]
    order = [every[[entry.name for entry in BOOK].index(box.key.rpartition("/")[2])] for box in app.checkbox]
    assert list(dict.fromkeys(order)) == ["Start", "Defend", "Flip", "Neurons"]
