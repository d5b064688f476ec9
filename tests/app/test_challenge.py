"""The challenge: points against an independent computation, the budget, the board, and who may clear it."""

import pytest

from invmask import settings
from invmask.attacks.registry import make_attack
from invmask.data.budget import probe
from invmask.masks import edit
from invmask.masks.repair import Gates
from invmask.masks.state import View
from invmask.measure.metrics import flags
from invmask.measure.target_labels import Targets
from invmask.measure.views import view_probabilities
from invmask.runs.store import board, owner
from invmask.ui.challenge import panels
from invmask.victims.victim import load_victim
from tests.app.conftest import address_of, make_run, sentences, visit
from tests.unit.run_helpers import CONTROL, VICTIM

pytestmark = pytest.mark.usefixtures("tiny_victims")


def metrics(app):
    return {metric.label.partition(",")[0]: metric.value for metric in app.metric}


def measured(run, cut):
    """ACC and ASR with channels cut, in plain steps."""
    model = load_victim(VICTIM, settings.victim_folders()).model
    images = probe("cifar10", 2)
    others = images.take(images.labels != 0)
    repair = Gates(edit.cut(edit.nothing_cut(run.masks_at(3)), cut))
    clean, triggered = (
        view_probabilities(model, repair, [View.PRUNED], tensor)[0].argmax(1)
        for tensor in (images.tensor(), make_attack("badnets").apply(others.tensor()))
    )
    labels, targets = others.label_tensor(), Targets.all_to_one(0, 10)
    return flags(clean, images.label_tensor(), triggered, labels, targets.of(labels)).measures()


def test_the_points_are_those_of_an_independent_computation():
    run, cut = make_run(), (0, 5, 17)
    app = visit("challenge", victim=VICTIM, run=run.id, cut="0,5,17")
    assert not app.exception
    before, after = measured(run, ()), measured(run, cut)
    points = 100 * (before.asr - after.asr) - 300 * max(0, before.acc - after.acc)
    found = metrics(app)
    assert found["Points"] == f"{points:.1f}"
    assert found["ACC"] == f"{100 * after.acc:.1f} %"
    assert found["Channels cut"] == "3 of 10"


def test_the_budget_holds_whatever_the_address_says():
    run = make_run()
    app = visit("challenge", victim=VICTIM, run=run.id, cut="0-9", n="3")
    assert metrics(app)["Channels cut"] == "3 of 3"
    assert "more than 3 channels" in sentences(app)[0]
    assert address_of(app) == {"cut": "0,1,2", "n": "3"}
    for words in ({"cut": "9999"}, {"cut": "1.2"}, {"n": "4"}, {"cut": "<b>"}):
        app = visit("challenge", victim=VICTIM, run=run.id, **words)
        assert not app.exception
        assert "Left out of the address" in sentences(app)[0]
        assert address_of(app) == {}


def test_two_names_on_the_board_and_only_the_maker_clears_it(monkeypatch: pytest.MonkeyPatch):
    run = make_run()
    owner.set_owner(run.path, "k" * 43)
    for name, cut in (("Ada <b>", "0,1"), ("Grace", "2,3")):
        app = visit("challenge", victim=VICTIM, run=run.id, cut=cut)
        app.text_input(key="challenge-name").set_value(name).run()
        next(button for button in app.button if button.label == "Enter my cut").click().run()
        assert not app.exception
        assert not app.error
    (table,) = (each.value for each in app.get("html") if "<table" in each.value)
    assert "<td class='cb-name'>Ada &lt;b&gt;</td>" in table
    assert "<td class='cb-name'>Grace</td>" in table
    assert [entry.channels for entry in board.entries(run)] == [(0, 1), (2, 3)]
    assert "Clear it now" not in {button.label for button in app.button}
    (run.path / "owner.json").unlink()
    monkeypatch.setattr(panels, "_at_the_server", lambda: True)
    app.run()
    next(button for button in app.button if button.label == "Clear it now").click().run()
    assert board.entries(run) == []


def test_the_board_of_a_run_without_a_maker_is_cleared_at_the_server_alone(monkeypatch: pytest.MonkeyPatch):
    run = make_run()
    board.add(run, board.Entry("Ada", 10, (1,), 5.0, 0.9, 0.1))
    monkeypatch.setattr(panels, "_at_the_server", lambda: True)
    app = visit("challenge", victim=VICTIM, run=run.id)
    clear = next(button for button in app.button if button.label == "Clear it now")
    # The browser is elsewhere: it may still send the click.
    monkeypatch.setattr(panels, "_at_the_server", lambda: False)
    clear.click().run()
    assert [error.value for error in app.error] == [panels.NOT_YOURS]
    assert len(board.entries(run)) == 1
    assert "Clear it now" not in {button.label for button in app.button}


def test_a_name_is_asked_for():
    run = make_run()
    app = visit("challenge", victim=VICTIM, run=run.id, cut="1")
    next(button for button in app.button if button.label == "Enter my cut").click().run()
    assert [error.value for error in app.error] == ["A name for the board has 1 to 24 letters."]


def test_the_rivals_cut_as_many():
    app = visit("challenge", victim=VICTIM, run=make_run().id, n="5")
    assert not app.exception
    app.toggle[0].set_value(True).run()
    assert not app.exception
    table = app.dataframe[-1].value
    assert set(table["rival"]) == {"Random", "Ranked list", "Learned mask"}
    assert list(table["points"]) == sorted(table["points"], reverse=True)


def test_without_a_backdoor_or_a_run_it_says_what_to_do():
    assert "has no backdoor" in sentences(visit("challenge", victim=CONTROL))[0]
    assert "Defend this victim" in sentences(visit("challenge", victim=VICTIM))[0]
