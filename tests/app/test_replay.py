"""Export offers the replay of the whole run, whatever round is looked at."""

import pytest

from invmask.exports import jobs
from invmask.exports.jobs import Request
from invmask.exports.work import make
from invmask.runs.store import files
from tests.app.conftest import make_run, visit

pytestmark = pytest.mark.usefixtures("tiny_victims")


def test_the_replay_is_asked_for_and_found_again(monkeypatch: pytest.MonkeyPatch):
    asked = []
    monkeypatch.setattr("invmask.ui.export.job.jobs.start", lambda _, request: asked.append(request))
    run = make_run(rounds=3)
    app = visit("export", run=run.id, round="2")
    next(button for button in app.button if button.key == "export/make/replay").click().run()
    assert asked == [Request("replay", 3)]
    folder = jobs.folder_of(run, asked[0])
    folder.mkdir(parents=True)
    files.write_json(folder / jobs.REQUEST, jobs.asdict(asked[0]))
    assert make(folder).state == "done"
    app = visit("export", run=run.id)
    assert any(button.label.startswith("Download the replay (") for button in app.get("download_button"))
    assert any(caption.value == "All rounds, up to round 3." for caption in app.caption)
