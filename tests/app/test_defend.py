"""The Defend page without a browser: what it says and draws of runs written for the purpose."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest

from invmask.data.registry import dataset_info
from invmask.defenses.base import Examples, Record, Synthesis
from invmask.defenses.ims.config import PRESETS, IMSConfig, Phase, preset
from invmask.masks.repair import Gates
from invmask.masks.state import MaskLayout, Masks, Sparsity
from invmask.measure.metrics import Measures
from invmask.runs.store import files, journal
from invmask.runs.store.all_runs import RunStore
from invmask.runs.store.format import Shapes
from invmask.runs.store.journal import Place
from invmask.runs.store.records import RoundEntry, RunResult, RunState, Views
from invmask.runs.store.run import Run
from invmask.ui.defend.state_line import duration, mean_seconds, pace_words, recent_seconds, state_words
from invmask.ui.shell import cache
from invmask.victims.victim import new_model, save_victim
from tests.app.conftest import charts, sentences, visit
from tests.conftest import make_narrow
from tests.unit.run_helpers import CONTROL, VICTIM, small_spec

ROUNDS = 5
CLASSES = dataset_info("cifar10").classes
LAYOUT = MaskLayout.of(make_narrow(width=2))
NOTES = {"rounds without progress": 0}
SHARES = np.linspace(0.9, 0.5, ROUNDS + 1)


@pytest.fixture(autouse=True)
def home(tiny_victims: Path) -> Path:
    return tiny_victims.parent


def store(home: Path) -> RunStore:
    return RunStore(home / "runs")


def masks_after(number: int) -> Masks:
    """Channel 0 goes over to the cut side and is selected, round by round."""
    mask, selection = torch.ones(LAYOUT.channels), torch.ones(LAYOUT.channels)
    mask[0] = selection[0] = 1 - number / ROUNDS
    return Masks(mask, selection)


def write_run(home: Path, victim: str = VICTIM) -> Run:
    """A paused run of five rounds: two of the first phase, three of the second."""
    trigger = victim == VICTIM

    def measures(share: float) -> Measures:
        return Measures(share, share if trigger else None, 1 - share if trigger else None, 200, 180 if trigger else 0)

    run = store(home).create(small_spec(victim, config=preset("paper", rounds_initialise=2)))
    original = measures(0.9)
    shapes = Shapes(tuple((x.name, x.channels) for x in LAYOUT.layers), (3, 32, 32), 10, 8, original)
    state = journal.begin(run, shapes, Gates(masks_after(0)), Place(Phase.INITIALISE, None, ({}, {})))
    for number in range(1, ROUNDS + 1):
        phase = Phase.INITIALISE if number <= 2 else Phase.MINIMISE
        inner, examples = None, None
        terms = {"pruned clean": 0.1 * number, "inverse clean": 1.0, "sparsity": 0.01}
        if phase is Phase.MINIMISE:
            inner = Synthesis(0.8, (6, 2, 0, 0, 0, 0, 0, 0, 0, 0), 0.75, 0.5, 0.02, 10)
            terms |= {"pruned perturbed": 2.0, "inverse perturbed": 1.5, "inverse agrees perturbed": 0.5}
            probabilities = torch.zeros(3, 8, 10)
            probabilities[0, :, 0] = probabilities[1, :, 3] = probabilities[2, :, 9] = 1
            examples = Examples(torch.arange(8), torch.full((8, 3, 32, 32), 0.02), probabilities)
        counts = Sparsity.of(masks_after(number))
        record = Record(
            round=number,
            stage=phase,
            round_in_stage=number if number <= 2 else number - 2,
            terms=terms,
            total=sum(terms.values()),
            counts=counts.as_counts(),
            notes=NOTES,
            synthesis=inner,
            stage_ended="reached its 2 rounds" if number == 2 else None,
        )
        entry = RoundEntry(record, Views(original, measures(float(SHARES[number])), measures(0.3)), 1.5)
        following = Phase.INITIALISE if number < 2 else Phase.MINIMISE
        place = Place(following, None, ({}, {}))
        state = journal.commit(run, shapes, state, entry, Gates(masks_after(number)), examples, place)
    return run


def test_says_which_label_leads_while_the_search_goes_on_and_which_stands_out(home: Path) -> None:
    run = write_run(home)
    summary, entry = run.summary(), run.entries()[0]
    spec = replace(summary.spec, config=preset("default"))
    led = {**NOTES, "label": 6, "lead": 0.314, "family": "patch", "stands out": False, "leads": {"patch": 0.314}}
    clear = {**led, "lead": 1.5, "family": "smooth", "stands out": True}

    def words(stage: Phase, notes: dict[str, Any], state: RunState = RunState.RUNNING) -> str:
        entries = (replace(entry, record=replace(entry.record, stage=stage, notes=notes)),)
        return state_words(replace(summary, spec=spec, stage=stage, state=state), entries, 60, CLASSES)[1]

    assert words(Phase.SEARCH, led).endswith("So far frog has the largest lead: 0.31 nats, with a patch.")
    found = "The label frog stands out: its trigger is a smooth change, and its lead is 1.50 nats."
    assert f"{found} The stage ends after" in words(Phase.MINIMISE, clear)
    assert words(Phase.SPARSIFY, clear, RunState.FINISHED).endswith(found)
    none = "No label stands out: frog leads by 0.31 nats, but 0.6 are needed."
    assert words(Phase.SPARSIFY, led, RunState.FINISHED).endswith(none)
    assert "label" not in words(Phase.MINIMISE, NOTES)
    assert "label" not in words(Phase.SPARSIFY, NOTES, RunState.FINISHED)


def defend(**query: str) -> AppTest:
    at = visit("defend", **query)
    assert not at.exception
    return at


def asked(at: AppTest, name: str) -> str:
    """What the address holds; AppTest gives a list where it was asked by the visitor."""
    value = at.query_params[name]
    return value if isinstance(value, str) else value[-1]


def html(at: AppTest) -> str:
    return "\n".join(element.proto.body for element in at.get("html"))


def figure(at: AppTest, name: str) -> dict:
    """The chart of that name on the page."""
    return charts(at)[f"defend-{name}"]


def more(at: AppTest, group: str) -> AppTest:
    """Open a group below the stage."""
    return at.segmented_control(key="defend/below").set_value(group).run()


def button(at: AppTest, label: str):
    return next(button for button in at.button if button.label == label)


def enabled(at: AppTest) -> set[str]:
    return {button.label for button in at.button if not button.disabled}


def heads(at: AppTest) -> list[str]:
    return [head.value for head in at.main.subheader]


def decoded(values) -> np.ndarray:
    """Plotly writes numpy arrays as base64."""
    if isinstance(values, dict):
        import base64

        return np.frombuffer(base64.b64decode(values["bdata"]), values["dtype"])
    return np.array(values, dtype=float)


def map_colours(at: AppTest) -> np.ndarray:
    """The number behind each channel's colour in the map of all channels, in the network's order."""
    cells = next(trace for trace in figure(at, "map")["data"] if trace["name"] == "channels")
    values = decoded(cells["z"])
    return values[~np.isnan(values)]


def test_before_a_run_the_page_says_what_to_do():
    at = defend(victim=VICTIM)
    assert "Press **Step**" in at.main.info[0].value
    assert enabled(at) >= {"Step", "Run"}
    assert not enabled(at) & {"Pause", "Stop", "Reset"}
    assert not charts(at)
    for title in ("Search", "Initialise", "Minimise", "Sparsify"):
        assert title in html(at)


def test_the_controls_start_from_the_preset_and_explain_every_setting():
    at = defend(victim=VICTIM)
    config = PRESETS["default"]
    shown = {**{x.key: x for x in at.sidebar.slider}, **{x.key: x for x in at.sidebar.number_input}}
    for setting in IMSConfig.settings():
        widget = shown[f"defend/set/ims/{setting.name}"]
        assert widget.value == pytest.approx(getattr(config, setting.name)), setting.name
        assert widget.help == setting.explanation or setting.name.startswith("rounds_")
        assert "preset" not in widget.label
    assert "**100 clean images**: 10 of each class." in [caption.value for caption in at.sidebar.caption]
    assert "λ" in shown["defend/set/ims/sparsity_weight"].label
    assert "k" in shown["defend/set/ims/steepness"].label


def test_a_setting_that_left_the_preset_is_marked():
    at = defend(victim=VICTIM)
    at.number_input(key="defend/set/ims/inner_steps").set_value(7).run()
    usual = PRESETS["default"].inner_steps
    assert f"preset {usual}" in at.number_input(key="defend/set/ims/inner_steps").label


def test_another_preset_fills_the_controls_and_leaves_the_seed():
    at = defend(victim=VICTIM)
    at.number_input(key="defend/set/ims/seed").set_value(11).run()
    at.segmented_control(key="defend/preset").set_value("paper").run()
    assert at.number_input(key="defend/set/ims/inner_steps").value == PRESETS["paper"].inner_steps
    assert at.slider(key="defend/set/ims/sparsity_weight").value == PRESETS["paper"].sparsity_weight
    assert at.number_input(key="defend/set/ims/seed").value == 11


def test_the_presets_of_transformers_are_taken_for_one_and_those_of_others_for_others(home: Path):
    torch.manual_seed(2)
    name = "cifar10-vitw32-badnets"
    card = replace(cache.victim_cards()[VICTIM], name=name, architecture="vitw32")
    save_victim(home / "victims", card, new_model("cifar10", "vitw32"))
    at = defend(victim=VICTIM)
    at.segmented_control(key="defend/preset").set_value("paper").run()
    at.number_input(key="defend/set/ims/seed").set_value(11).run()
    for victim, transformer in ((name, True), (VICTIM, False)):
        at.selectbox(key="sidebar/victim").set_value(victim).run()
        assert not at.exception
        usual = preset("paper", transformer)
        assert at.number_input(key="defend/set/ims/inner_steps").value == usual.inner_steps
        assert (
            at.slider(key="defend/set/ims/sparsity_weight").value == usual.sparsity_weight == (0 if transformer else 10)
        )
        assert at.number_input(key="defend/set/ims/seed").value == 11
    # Another of the same kind leaves them as they are.
    at.number_input(key="defend/set/ims/inner_steps").set_value(7).run()
    at.selectbox(key="sidebar/victim").set_value(CONTROL).run()
    assert at.number_input(key="defend/set/ims/inner_steps").value == 7


def test_an_absurd_setting_gets_one_sentence_and_no_run(home: Path):
    at = defend(victim=VICTIM)
    at.number_input(key="defend/set/ims/outer_learning_rate").set_value(50.0).run()
    problem = "Outer learning rate has to be between 0.0001 and 1, not 50."
    assert [error.value for error in at.main.error] == [f"{problem} Change it in the sidebar, then press Step or Run."]
    assert not at.main.info
    # Above all settings: the sidebar is longer than the screen.
    captions = [caption.value for caption in at.sidebar.caption]
    assert captions.index(f":red[{problem}]") < captions.index("**100 clean images**: 10 of each class.")
    assert not enabled(at) & {"Step", "Run", "Reset"}
    assert not store(home).runs()


def test_a_run_without_any_round_is_not_begun():
    at = defend(victim=VICTIM)
    for phase in ("initialise", "minimise", "sparsify"):
        at.number_input(key=f"defend/set/ims/rounds_{phase}").set_value(0)
    at.run()
    assert ":red[At least one phase that learns the mask needs a round.]" in [
        caption.value for caption in at.sidebar.caption
    ]
    assert not enabled(at) & {"Step", "Run", "Reset"}


def test_step_makes_a_run_of_the_settings_shown_and_asks_for_one_round(home: Path):
    at = defend(victim=VICTIM)
    at.slider(key="defend/spc").set_value(2).run()
    at.number_input(key="defend/set/ims/inner_steps").set_value(3).run()
    button(at, "Step").click().run()
    (run,) = store(home).runs()
    spec = run.spec()
    assert (spec.victim, spec.preset, spec.spc, spec.config.inner_steps) == (VICTIM, "default", 2, 3)
    assert (run.summary().state, run.summary().until) == (RunState.WAITING, 1)
    assert asked(at, "run") == run.id
    assert "waiting for a worker" in html(at)
    assert enabled(at) >= {"Pause", "Stop", "Reset"}
    assert not enabled(at) & {"Step", "Run"}


def test_a_run_waits_for_a_worker_only_where_another_is_under_way(home: Path):
    run = write_run(home)
    store(home).go_on(run.id)
    assert "Minimise, round 5 of at most 402 · between two rounds" in html(defend(run=run.id))
    other = store(home).create(small_spec())
    store(home).go_on(other.id)
    cache._listing.clear()
    assert "Minimise, round 5 of at most 402 · waiting for a worker" in html(defend(run=run.id))


def test_run_pause_and_stop_write_down_what_is_wanted(home: Path):
    run = write_run(home)
    at = defend(run=run.id)
    button(at, "Run").click().run()
    assert run.summary().state is RunState.WAITING
    button(at, "Pause").click().run()
    assert run.summary().state is RunState.PAUSED
    button(at, "Stop").click().run()
    assert run.has_work()
    assert "round 5" in html(at)


def test_a_folder_that_cannot_be_written_gets_one_sentence(home: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", str(home / "runs"))

    monkeypatch.setattr(RunStore, "create", full)
    at = defend()
    button(at, "Step").click().run()
    assert not at.exception
    assert any("No space left on device" in error.value and str(home) in error.value for error in at.error)


def test_of_a_damaged_run_the_controls_show_the_preset(home: Path):
    run = write_run(home)
    (run.path / files.WANT).write_text("[]")
    at = defend(run=run.id)
    assert not at.exception
    before = defend()
    assert [box.value for box in at.number_input] == [box.value for box in before.number_input]


def test_a_run_whose_masks_are_cut_off_gets_a_sentence(home: Path):
    run = write_run(home)
    masks = run.path / "masks.bin"
    masks.write_bytes(masks.read_bytes()[:100])
    at = defend(run=run.id)
    assert not at.exception
    assert any("is damaged" in sentence for sentence in sentences(at))


def test_reset_leaves_the_old_run_and_begins_another_with_the_settings_shown(home: Path):
    old = write_run(home)
    at = defend(run=old.id)
    at.number_input(key="defend/set/ims/inner_steps").set_value(9).run()
    assert any("Reset begins a new run with them" in caption.value for caption in at.sidebar.caption)
    button(at, "Reset").click().run()
    new = next(run for run in store(home).runs() if run.id != old.id)
    assert asked(at, "run") == new.id
    assert (new.spec().config.inner_steps, new.spec().spc) == (9, old.spec().spc)
    assert (new.summary().state, old.summary().state) == (RunState.NEW, RunState.PAUSED)
    assert "Not begun" in html(at)
    # The line of the run's state says what to press, and nothing else does.
    assert "Step takes one round" in html(at)
    assert not at.main.info


def test_the_controls_take_over_the_settings_of_the_run_looked_at(home: Path):
    at = defend(run=write_run(home).id)
    assert at.number_input(key="defend/set/ims/rounds_initialise").value == 2
    assert at.slider(key="defend/spc").value == 1
    assert "These are the settings of the run shown." in [caption.value for caption in at.sidebar.caption]


def test_a_run_is_shown_with_its_numbers(home: Path):
    at = defend(run=write_run(home).id)
    assert heads(at)[0] == "The views, round 5"
    body = html(at)
    assert "Minimise, round 5 of at most 402 · paused · 1.5 s a round" in re.sub("<[^>]*>", "", body)
    assert "50.0 %" in re.sub("<[^>]*>", "", body)
    assert "n = 200 clean, 180 triggered" in body
    assert "\N{MINUS SIGN}40.0" in body
    assert "+40.0" in body
    assert any("200 probe images of the test set" in caption.value for caption in at.main.caption)
    measures = figure(at, "measures")
    losses = figure(more(at, "Terms of the loss"), "losses")
    more(at, "Perturbations")
    labels, inner = figure(at, "labels"), figure(at, "inner")
    assert len(decoded(figure(more(at, "Layers"), "layers")["data"][1]["x"])) == len(LAYOUT.layers)
    colours = map_colours(at)
    assert colours.shape == (LAYOUT.channels,)
    assert colours[0] == 1
    assert not colours[1:].any()
    np.testing.assert_allclose(decoded(labels["data"][0]["x"]), [60, 20, *[0] * 8])
    assert [trace["name"] for trace in inner["data"]] == ["flipped", "inverse follows", "pruned restores"]
    np.testing.assert_allclose(decoded(measures["data"][1]["y"]), 100 * SHARES, atol=0.01)
    pruned = next(trace for trace in losses["data"] if trace["name"] == "Pruned agrees, clean")
    np.testing.assert_allclose(decoded(pruned["y"]), 0.1 * np.arange(1, 6))


def test_every_recorded_round_can_be_gone_back_to(home: Path):
    at = defend(run=write_run(home).id)
    at.main.slider[0].set_value(0).run()
    assert asked(at, "round") == "0"
    assert heads(at)[0] == "The views, round 0"
    assert not map_colours(at).any()
    body = html(at)
    assert body.index("No perturbations in this round: they begin with a later stage") < body.index(
        'class="dv-gallery"'
    )
    # The curves stay whole, and mark the round.
    assert len(decoded(figure(at, "measures")["data"][1]["y"])) == ROUNDS + 1
    assert at.main.toggle[0].value is False
    at.main.slider[0].set_value(3).run()
    assert heads(at)[0] == "The views, round 3"
    assert map_colours(at)[0] == pytest.approx(0.6)
    at.main.toggle[0].set_value(True).run()
    assert heads(at)[0] == "The views, round 5"
    assert "round" not in at.query_params


def test_the_map_shows_selection_and_both_gates(home: Path):
    at = defend(run=write_run(home).id)
    for quantity, first in (("pruned", 0.0), ("inverse", 1.0), ("selection", 1.0)):
        at.segmented_control(key="defend/map/selection").set_value(quantity).run()
        assert map_colours(at)[0] == pytest.approx(first, abs=1e-3)


def test_synthesized_triggers_say_what_the_views_answer_and_how_they_were_amplified(home: Path):
    at = defend(run=write_run(home).id)
    body = html(at)
    assert body.count('class="dv-example"') == 8
    assert body.count("<img src=") == 24
    for view, answer in (("Original", "airplane"), ("Pruned", "cat"), ("Inverse", "truck")):
        assert f">{view}</span><b>{answer}</b><span>100 %</span>" in body
    assert "amplified ×20" in body
    assert "5.1 of 255" in body
    body = html(more(at, "Perturbations"))
    assert "of 10 clean images flipped" in body
    assert "of those 8: inverse follows" in body


def test_a_clean_control_has_acc_only(home: Path):
    at = defend(run=write_run(home, CONTROL).id)
    body = html(at)
    assert "ACC" in body
    assert ">ASR<" not in body
    assert len(figure(at, "measures")["data"]) == 3
    assert any("without a backdoor" in caption.value for caption in at.main.caption)


def test_a_failed_run_says_so_in_a_sentence_and_can_go_on(home: Path):
    run = write_run(home)
    files.write_json(run.path / files.STATUS, {"failed": True, "message": "The worker ran out of memory."})
    at = defend(run=run.id)
    assert [error.value for error in at.main.error] == [
        "The worker ran out of memory. Press Run to try again, or Reset to start over."
    ]
    assert "failed" in html(at)
    assert enabled(at) >= {"Run", "Reset"}
    assert not enabled(at) & {"Step", "Pause", "Stop"}


def test_the_pace_is_that_of_the_rounds_taken_last(home: Path):
    run = write_run(home)
    summary, entries = replace(run.summary(), state=RunState.RUNNING), run.entries()
    slow = tuple(replace(entry, seconds=38.0) for entry in entries[2:])

    # Two quick rounds of the first phase are forgotten as soon as the second has one.
    assert pace_words(summary, entries[:2], 402) == ""
    begun = (*entries[:2], slow[0])
    assert pace_words(summary, begun, 402) == "38 s a round, at most about 2 h 10 min of this stage left"
    assert pace_words(replace(summary, state=RunState.PAUSED), begun, 402) == "38 s a round"
    ended = replace(summary, state=RunState.FINISHED)
    assert pace_words(ended, (*entries[:2], *slow), 402) == "23 s a round on average"
    last = replace(summary, stage=Phase.SPARSIFY)
    sparsify = tuple(replace(e, record=replace(e.record, stage=Phase.SPARSIFY), seconds=2.0) for e in entries[2:])
    assert pace_words(last, (*entries[:2], *sparsify), 202) == "2.0 s a round, at most about 7 min left"


def test_a_pace_is_a_median_of_the_last_and_a_time_in_words():
    assert recent_seconds([]) is None
    assert recent_seconds([1, 1, 1, 40, 2, 3, 40, 4]) == 4
    assert recent_seconds([2.0, 3.0]) == 2.5
    assert mean_seconds([]) is None
    assert mean_seconds([1.0, 1.0, 4.0]) == 2.0
    words = {
        0: "10 s",
        11: "20 s",
        50: "50 s",
        51: "1 min",
        61: "2 min",
        3540: "59 min",
        3541: "1 h",
        3601: "1 h 10 min",
    }
    assert {seconds: duration(seconds) for seconds in words} == words


def test_a_round_that_the_run_does_not_have_is_told_of(home: Path):
    at = defend(run=write_run(home).id, round="7")
    assert heads(at)[0] == "The views, round 5"
    assert "Left out of the address: `round=7` (the run has rounds 0 to 5)." in sentences(at)
    assert "round" not in at.query_params


def test_the_end_is_measured_on_all_test_images_and_says_why(home: Path):
    run = write_run(home)
    end = Views(*(Measures(share, share, 1 - share, 2000, 1800) for share in (0.9, 0.456, 0.3)))
    journal.write_result(
        run, RunResult("The last phase, sparsify, reached its 2 rounds.", True, 5, {}, 7.5, {}, {}, end)
    )
    at = defend(run=run.id)
    body = html(at)
    assert "Finished after round 5" in body
    assert "The last phase, sparsify, reached its 2 rounds." in body
    assert "45.6 %" in body
    assert "n = 2,000 clean, 1,800 triggered" in body
    assert "The result, on all embedded test images" in heads(at)
    probe = next(caption.value for caption in at.main.caption if "200 probe images" in caption.value)
    assert probe.endswith("not the result.")
    assert not any("the result" in head.lower() for head in heads(defend(run=run.id, round="4")))
    assert not enabled(at) & {"Step", "Run", "Pause", "Stop"}


def test_two_readers_see_the_same_round(home: Path):
    run = write_run(home)
    first, second = defend(run=run.id, round="4"), defend(run=run.id, round="4")
    assert heads(first)[0] == heads(second)[0] == "The views, round 4"
    assert len(charts(first)) == 2
    assert charts(first) == charts(second)
