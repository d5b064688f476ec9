"""Neurons: numbers against an independent computation, what is decided by hand, the address, and the clean control."""

import base64
import json
import re
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from invmask.attacks.registry import make_attack
from invmask.data.budget import probe
from invmask.evidence.rankings import COUNTS, first_of
from invmask.evidence.scores import ranking
from invmask.frames.channels import OF_THE_MASKS, channel_name, find_channel
from invmask.frames.one_channel import Conducted
from invmask.masks.attach import attached, sharing_copy
from invmask.masks.state import MaskLayout, Masks, View
from invmask.runs.store import named_masks
from invmask.runs.store.run import Run
from invmask.runs.work import evidence
from invmask.runs.work.advance import Outcome
from invmask.runs.work.gather_evidence import gather
from invmask.runs.work.scores import run_scores
from invmask.ui.neurons import neurons_choice
from invmask.ui.neurons.channel_data import HIGH_SCORE, Base, what_if
from invmask.ui.neurons.channel_page import conductance_note
from invmask.ui.neurons.panels import TABLE_WIDTH
from invmask.victims.victim import load_victim
from tests.app.conftest import address_of, make_run, round_slider, sentences, visit
from tests.unit.run_helpers import CONTROL, VICTIM


@pytest.fixture(autouse=True)
def home(tiny_victims):
    return tiny_victims


def own_measures(folder, masks, cut=()):
    """ACC, ASR and RA of the pruned view with channels cut, as the page writes them, in plain torch."""
    model = load_victim(VICTIM, [folder]).model
    images = probe("cifar10", 2)
    labels, others = images.labels, images.labels != 0
    gate = masks.gate(View.PRUNED).clone()
    gate[list(cut)] = 0
    with attached(sharing_copy(model), MaskLayout.of(model), gate) as copy, torch.no_grad():
        clean = copy(images.tensor()).argmax(1).numpy()
        fooled = copy(make_attack("badnets").apply(images.tensor()[others])).argmax(1).numpy()
    shares = ((clean == labels).mean(), (fooled == 0).mean(), (fooled == labels[others]).mean())
    return [f"{100 * share:.1f} %" for share in shares]


def numbers(app):
    """The line that stays in sight, as it is written."""
    return next(html.proto.body for html in app.get("html") if "ACC, ASR and RA now" in html.proto.body)


def measures(app):
    return re.findall(r"nn-value'>([^<]+)<", numbers(app))


def below(app):
    """What stands below the three numbers."""
    found = re.findall(r"nn-was'>(.*?)</span>", numbers(app))
    return [re.sub("<[^>]*>", "", words).replace("\u00a0", " ") for words in found]


def button(app, label):
    return next(button for button in app.button if button.label == label)


def figure(app, title):
    specs = (json.loads(element.proto.spec) for element in app.get("plotly_chart"))
    return next(spec for spec in specs if any(trace.get("name") == title for trace in spec["data"]))


def table(app):
    return app.dataframe[0].value


def field(app, label):
    return next(box for box in app.selectbox if box.label == label)


def test_the_table_ranks_by_score(home):
    run = make_run(rounds=6)
    app = visit("neurons", run=run.id)
    assert not app.exception
    victim = load_victim(VICTIM, [home])
    layout, scores = MaskLayout.of(victim.model), run_scores(run, 6, victim)
    order = ranking(scores).tolist()
    shown = table(app)
    assert shown["rank"].tolist() == list(range(1, layout.channels + 1))
    assert shown["channel"].tolist()[:5] == [channel_name(layout.layers, c) for c in order[:5]]
    assert np.allclose(shown["score"], scores[order])
    squares = figure(app, "channels")["data"][0]
    assert len(squares["hovertext"]) == layout.channels
    app.text_input(key="neurons-find").set_value("layer4.1.conv2:1").run()
    found = table(app)["channel"].tolist()
    assert found
    assert all("layer4.1.conv2:1" in name for name in found)


def test_cuts_by_hand_are_recomputed_exactly(home):
    run = make_run(rounds=6)
    app = visit("neurons", run=run.id)
    first = first_of("score", run_scores(run, 6, load_victim(VICTIM, [home])).numpy())[:10]
    assert measures(app) == own_measures(home, run.masks_at(0), first)
    assert "10 channels cut: the top 10 by score" in numbers(app)
    app = visit("neurons", run=run.id, base="learned")
    learned = own_measures(home, run.masks_at(6))
    assert measures(app) == learned
    cut = [0, 1, 40, 149]
    app = visit("neurons", run=run.id, cut="0,1.40.149", base="nothing cut")
    assert measures(app) == own_measures(home, run.masks_at(0), cut)
    button(app, "Undo").click().run()
    assert app.query_params["cut"] == "0,1.40"
    assert measures(app) == own_measures(home, run.masks_at(0), cut[:3])
    button(app, "Reset").click().run()
    assert "cut" not in app.query_params
    assert "base" not in app.query_params
    assert measures(app) == own_measures(home, run.masks_at(0), first)


def test_before_a_cut_the_numbers_are_those_that_the_run_recorded(monkeypatch):
    run = make_run(rounds=6)
    entry, summary = run.entry(6), run.summary()
    pruned, original = replace(entry.views.pruned, acc=0.912), replace(entry.views.original, acc=0.987)
    entry, summary = replace(entry, views=replace(entry.views, pruned=pruned)), replace(summary, original=original)
    monkeypatch.setattr(Run, "entry", lambda *_: entry)
    monkeypatch.setattr(Run, "summary", lambda *_: summary)
    app = visit("neurons", run=run.id, base="learned")
    assert measures(app)[0] == "91.2 %"
    assert below(app)[0] == "original 98.7 %, −7.5 points"
    app = visit("neurons", run=run.id, base="nothing cut")
    assert measures(app)[0] == "98.7 %"
    app = visit("neurons", run=run.id, n="0")
    assert measures(app)[0] == "98.7 %"
    assert "The original: nothing cut" in numbers(app)


def test_the_ranking_and_the_number_are_chosen_and_kept_in_the_address(home):
    run = make_run(rounds=6)
    evidence.ask(run, 6)
    assert gather(run.path) is Outcome.IDLE
    cuts = evidence.top_cuts(run, 6)
    app = visit("neurons", run=run.id, by="conductance", n="6")
    assert not app.exception
    # Of the numbers measured the nearest; of two, the smaller.
    assert "5 channels cut: the top 5 by conductance" in numbers(app)
    ranked = cuts.of["conductance"]
    assert measures(app) == own_measures(home, run.masks_at(0), ranked.channels[:5])
    place = ranked.counts.index(5)
    said = next(caption.value for caption in app.caption if caption.value.startswith("With the first 5 channels"))
    assert f"by conductance cut, ASR is {100 * ranked.top[place].asr:.1f}\u00a0%" in said
    lowest = min(drawn.asr for drawn in ranked.random[place - 1])
    assert f"(5 draws) leave ASR between {100 * lowest:.1f}\u00a0%" in said
    assert "n\u00a0=\u00a020 clean and 18 triggered" in said
    lines = {(trace["name"], trace["meta"]) for trace in figure(app, "by conductance")["data"]}
    assert len(lines) == 15
    app.select_slider[0].set_value(2).run()
    assert address_of(app) == {"by": "conductance", "n": "2"}
    app.button_group(key="neurons-by").set_value("score").run()
    assert address_of(app) == {"n": "2"}
    assert measures(app) == own_measures(home, run.masks_at(0), cuts.of["score"].channels[:2])
    field(app, "Cut by hand: start from").set_value("learned").run()
    assert measures(app) == own_measures(home, run.masks_at(6))
    # Who moves the slider wants to see the top channels.
    app.select_slider[0].set_value(3).run()
    assert address_of(app) == {"n": "3"}


def test_a_channel_that_is_cut_says_so_wherever_it_is_shown(home):
    run = make_run(rounds=6)
    layers = MaskLayout.of(load_victim(VICTIM, [home]).model).layers
    first = first_of("score", run_scores(run, 6, load_victim(VICTIM, [home])).numpy())
    app = visit("neurons", run=run.id, n="3", cut=str(first[6]))
    shown = table(app)
    cut = {channel_name(layers, channel) for channel in (*first[:3], first[6])}
    assert set(shown["channel"][shown["now"] == "cut"]) == cut
    assert "and by hand 1 cut" in numbers(app)
    app = visit("neurons", run=run.id, n="3", channel=channel_name(layers, first[1]))
    assert app.button(key="neurons-cut-this").label == "Cut already"
    assert app.button(key="neurons-cut-this").disabled
    assert any(caption.value.startswith("**cut now** · score") for caption in app.caption)
    button(app, "Restore it").click().run()
    assert app.button(key="neurons-cut-this").label == "Cut this channel"
    assert measures(app) == own_measures(home, run.masks_at(0), [first[0], first[2]])
    assert any(caption.value.startswith("**restored by hand** · score") for caption in app.caption)


def test_what_is_cut_and_restored_by_hand_goes_over_the_mask():
    masks = Masks(torch.tensor([0.0, 0.0, 1.0, 1.0]), torch.zeros(4))
    decided = neurons_choice.decided(neurons_choice.parse_actions("2,0.r0", 4)[0], 4)
    gates = decided.apply(masks).gate(View.PRUNED)
    assert gates.tolist() == pytest.approx([1, 0, 0, 1], abs=1e-4)


def test_any_set_of_channels_goes_through_the_address_and_no_action_is_lost(monkeypatch):
    layer = neurons_choice.Action(tuple(reversed(range(560, 1200))))
    few = neurons_choice.Action((7, 3, 4, 5), restore=True)
    text = neurons_choice.write_actions([layer, few])
    assert text == "560-1199.r7,3,4,5"
    (first, second), wrong = neurons_choice.parse_actions(text, 1200)
    assert wrong == []
    assert (sorted(first.channels), second) == (list(range(560, 1200)), few)
    written = {"cut": "3"}
    monkeypatch.setattr(neurons_choice.address, "choice", written.get)
    monkeypatch.setattr(neurons_choice.address, "choose", written.__setitem__)
    for restore, expected in ((False, "3.9,7"), (False, "3.9,7"), (True, "3.9,7.r9,7"), (False, "3.9,7.r9,7.9,7")):
        neurons_choice.act((9, 7), restore)
        assert written["cut"] == expected
    many = [neurons_choice.Action((number % 50,), restore=number % 3 == 0) for number in range(200)]
    written["cut"] = neurons_choice.write_actions(many)
    neurons_choice.act((49, 3))
    actions, _ = neurons_choice.parse_actions(written["cut"], 50)
    assert len(actions) == 103
    assert neurons_choice.decided(actions, 50) == neurons_choice.decided([*many, neurons_choice.Action((49, 3))], 50)
    written["cut"] = neurons_choice.write_actions([neurons_choice.Action(tuple(range(0, 10_000, 2)))])
    neurons_choice.act(tuple(range(0, 4_000, 2)), restore=True)
    assert len(written["cut"]) <= neurons_choice.address.MOST_LETTERS
    actions, _ = neurons_choice.parse_actions(written["cut"], 10_000)
    left = neurons_choice.decided(actions, 10_000)
    assert (left.cut, left.restored) == (tuple(range(4_000, 10_000, 2)), tuple(range(0, 4_000, 2)))


def test_an_address_names_no_more_channels_than_the_network_has():
    actions, wrong = neurons_choice.parse_actions("5-3.1-2-3.x.8.0-9.0-10.r3-3,3.0-5,0-5.10..99999-999999", 10)
    assert [(action.channels, action.restore) for action in actions] == [
        ((8,), False),
        (tuple(range(10)), False),
        ((3,), True),
    ]
    assert wrong == ["5-3", "1-2-3", "x", "0-10", "0-5,0-5", "10", "", "99999-999999"]
    for huge in (".".join(["0-99999"] * 200), ".".join(["0-999"] * 250), ",".join(["0-999"] * 5_000)):
        tracemalloc.start()
        actions, wrong = neurons_choice.parse_actions(huge, 1_000)
        assert tracemalloc.get_traced_memory()[1] < 8e6
        tracemalloc.stop()
        assert len(actions) <= neurons_choice.MOST_ACTIONS
        assert wrong


def test_the_top_ten_are_cut_and_the_mask_can_be_saved_for_flip(home):
    run = make_run(rounds=6)
    app = visit("neurons", run=run.id)
    top = ranking(run_scores(run, 6, load_victim(VICTIM, [home])))[:10].tolist()
    crosses = next(trace for trace in figure(app, "channels")["data"] if trace["name"] == "cut now")["x"]
    assert len(base64.b64decode(crosses["bdata"])) == 10 * np.dtype(crosses["dtype"]).itemsize
    app.text_input(key="neurons-name").set_value("top ten").run()
    app.button(key="neurons-save").click().run()
    assert not app.exception
    saved = named_masks.load(run, "top ten")
    assert sorted(torch.nonzero(saved.gate(View.PRUNED) < 0.5).flatten().tolist()) == sorted(top)
    app = visit("flip", run=run.id, mask="top ten", view="pruned")
    assert not app.exception
    asr = own_measures(home, run.masks_at(0), top)[1]
    assert any(caption.value.startswith(f"Pruned view: ASR {asr}") for caption in app.caption)
    app.selectbox(key="flip-mask").set_value("learned").run()
    assert "mask" not in app.query_params


def test_a_bad_name_is_told_and_saves_nothing():
    run = make_run()
    app = visit("neurons", run=run.id)
    app.text_input(key="neurons-name").set_value("../x").run()
    app.button(key="neurons-save").click().run()
    assert "letters a to z" in sentences(app)[0]
    assert named_masks.list_names(run) == []


def test_a_mask_is_replaced_only_where_the_button_says_so():
    run = make_run()
    before = run.masks_at(1)
    named_masks.save(run, "mine", before)
    app = visit("neurons", run=run.id)
    app.text_input(key="neurons-name").set_value("min").run()
    save = app.button(key="neurons-save")
    assert save.label == "Save"
    app.text_input(key="neurons-name").set_value("mine")
    save.click().run()
    assert torch.equal(named_masks.load(run, "mine").mask, before.mask)
    assert app.button(key="neurons-save").label == "Replace 'mine'"
    app.button(key="neurons-save").click().run()
    gates = named_masks.load(run, "mine").gate(View.PRUNED)
    assert int((gates < 0.5).sum()) == 10
    assert any("Saved as 'mine'" in element.value for element in app.success)


def test_one_channels_page_has_an_address(home):
    run = make_run(rounds=6)
    name = "layer4.0.conv1:3"
    app = visit("neurons", run=run.id, channel=name, base="learned")
    assert not app.exception
    assert any(heading.value == "layer4.0.conv1, channel 3" for heading in app.subheader)
    layers = MaskLayout.of(load_victim(VICTIM, [home]).model).layers
    channel = find_channel(layers, name)
    lines = {trace["name"]: trace for trace in figure(app, "pruned gate m")["data"]}
    assert set(lines) == {"mask a", "selection s", "pruned gate m", "inverse gate m\u0304"}
    before = measures(app)
    app.button(key="neurons-cut-this").click().run()
    assert app.query_params["cut"] == str(channel)
    assert measures(app) == own_measures(home, run.masks_at(6), [channel])
    button(app, "Restore it").click().run()
    assert app.query_params["cut"] == f"{channel}.r{channel}"
    button(app, "Undo").click().run()
    button(app, "Undo").click().run()
    assert measures(app) == before
    button(app, "All channels").click().run()
    assert "channel" not in app.query_params
    assert len(app.dataframe) == 1


def test_evidence_is_asked_for_and_shown_when_it_is_there():
    run = make_run(rounds=6)
    app = visit("neurons", run=run.id)
    assert evidence.wanted(run) == 6
    assert any("The curve is being measured" in caption.value for caption in app.caption)
    assert gather(run.path) is Outcome.IDLE
    app = visit("neurons", run=run.id, colour="asr")
    assert not app.exception
    found = evidence.victim_evidence(run)
    assert np.isfinite(found.asr_change).all()
    assert np.allclose(table(app)["asr"].sort_values(), np.sort(100 * found.asr_change))
    said = next(caption.value for caption in app.caption if caption.value.startswith("With the first 10 channels"))
    place = COUNTS.index(10)
    assert f"ASR is {100 * evidence.top_cuts(run, 6).of['score'].top[place].asr:.1f}\u00a0%" in said
    said = next(text.value for text in app.markdown if "with the highest score" in text.value)
    numbers = r"evidence: \d+ by conductance \(by chance \d\.\d\), \d+ by trigger change \(by chance"
    assert re.search(rf"Channels among the 20 with the highest score that are also among .*{numbers}", said)
    said = next(caption.value for caption in app.caption if caption.value.startswith("Rank correlation among the"))
    scores = table(app)["score"]
    assert f"Rank correlation among the {(scores > 0).sum()} channels that score above 0: conductance" in said
    assert f"Over all {len(scores)}, of which {(scores == 0).sum()} tie at 0: conductance" in said
    assert "Does the evidence point at the same channels?" in [heading.value for heading in app.subheader]
    assert any(element.proto.id.endswith("neurons-agreement") for element in app.get("plotly_chart"))


def test_all_evidence_is_in_sight_beside_the_map():
    shown = visit("neurons", run=make_run().id).dataframe[0].proto
    columns, order = json.loads(shown.columns), list(shown.column_order)
    assert order[-3:] == list(OF_THE_MASKS)
    boxes = 46
    assert boxes + sum(columns[name]["width"] for name in order[:-3]) <= TABLE_WIDTH


def test_of_a_clean_control_the_synthesized_triggers_are_the_evidence():
    app = visit("neurons", run=make_run(CONTROL).id)
    said = next(text.value for text in app.markdown if "with the highest score" in text.value)
    assert re.search(r"that are also among the 20 highest by the evidence: \d+ by synthesized change", said)
    assert app.button_group(key="neurons-by").options == ["Score", "Synthesized change"]


def test_where_no_channel_scores_nobody_is_told_to_wait_for_evidence():
    run = make_run(rounds=6)
    assert gather(run.path) is Outcome.IDLE
    captions = [caption.value for caption in visit("neurons", run=run.id, round="0").caption]
    assert "In this round every channel scores 0: there is no order to compare." in captions
    assert not any("no evidence to compare" in caption for caption in captions)


def test_what_was_searched_for_is_there_after_a_look_at_a_channel():
    app = visit("neurons", run=make_run().id)
    app.text_input(key="neurons-find").set_value("layer4").run()
    app.switch_page("pages/flip.py").run()
    app.switch_page("pages/neurons.py").run()
    assert app.text_input(key="neurons-find").value == "layer4"
    assert table(app)["channel"].str.startswith("layer4").all()


def test_the_history_marks_no_round_that_the_run_does_not_have():
    run = make_run(rounds=2)
    app = visit("neurons", run=run.id, channel="layer4.0.conv1:3", round="4")
    assert not app.exception
    shapes = figure(app, "pruned gate m")["layout"].get("shapes", [])
    assert max((shape["x0"] for shape in shapes if shape["type"] == "line"), default=0) <= 2
    assert "round" not in app.query_params


def test_cuts_by_hand_and_an_open_channel_stay_with_their_network():
    app = visit("neurons", run=make_run(rounds=2).id, cut="3,7", colour="selection")
    app.selectbox(key="sidebar/victim").set_value(CONTROL).run()
    assert "cut" not in app.query_params
    assert app.query_params["colour"] == "selection"
    app = visit("neurons", run=make_run(CONTROL).id, channel="conv1:1")
    app.switch_page("pages/defend.py").run()
    app.selectbox(key="sidebar/victim").set_value(VICTIM).run()
    app.switch_page("pages/neurons.py").run()
    assert "channel" not in app.query_params


def test_the_round_can_be_chosen(home):
    run = make_run(rounds=6)
    app = visit("neurons", run=run.id, round="2", base="learned")
    assert measures(app) == own_measures(home, run.masks_at(2))
    round_slider(app).set_value(4).run()
    assert app.query_params["round"] == "4"
    assert measures(app) == own_measures(home, run.masks_at(4))


def test_a_clean_control_is_not_accused():
    run = make_run(CONTROL)
    app = visit("neurons", run=run.id)
    assert not app.exception
    assert "no backdoor" in sentences(app)[0]
    assert "what the defence would cut" in field(app, "Colour").options[0]
    assert any("no sign of a backdoor" in caption.value for caption in app.caption)
    assert set(table(app)) == {
        "rank",
        "channel",
        "now",
        "score",
        "selection",
        "pruned",
        "inverse",
        "synthesized",
        "acc",
    }
    assert gather(run.path) is Outcome.IDLE
    app = visit("neurons", run=run.id, channel="layer4.0.conv1:3")
    assert not app.exception
    assert any("no backdoor to compare with" in caption.value for caption in app.caption)


def test_scores_are_held_against_the_clean_controls(home):
    run, control = make_run(rounds=6), make_run(CONTROL, rounds=6)
    app = visit("neurons", run=run.id)
    said = next(caption.value for caption in app.caption if "On the clean control" in caption.value)
    scores = run_scores(control, 6, load_victim(CONTROL, [home]))
    assert f"{int((scores > HIGH_SCORE).sum())} of {len(scores)} do" in said
    assert control.id.rpartition("-")[2] in said


@pytest.mark.parametrize(
    ("query", "kept", "told"),
    [
        (
            {"cut": "x,1.r.3.5.9999999", "base": "nobody", "colour": "none", "draw": "-1"},
            {"cut": "3.5"},
            "`cut=x,1.r.9999999` (no channels of this network), `colour=none` (not understood), `base=nobody` (",
        ),
        (
            {"cut": "0-99999.0-99999", "round": "99"},
            {},
            "`round=99` (the run has rounds 0 to 1), `cut=0-99999.0-99999`",
        ),
        ({"cut": ",".join(["900"] * 50) + ".999999"}, {}, "`cut=900,900,900,"),
        # Every range is of this network, all of them together are more than it has.
        ({"cut": "0-99,0-99.5"}, {"cut": "5"}, "`cut=0-99,0-99`"),
    ],
)
def test_nonsense_in_the_address_is_told_of_and_left_out(query, kept, told):
    app = visit("neurons", run=make_run(rounds=1).id, **query)
    assert not app.exception
    assert not app.error
    assert any(sentence.startswith(f"Left out of the address: {told}") for sentence in sentences(app))
    assert address_of(app) == kept


def test_a_channel_that_is_not_there_is_a_sentence():
    app = visit("neurons", run=make_run(rounds=1).id, channel="layer9:1")
    assert not app.exception
    assert "There is no channel `layer9:1`" in app.error[0].value


def test_without_a_run_or_a_round_it_says_what_to_do():
    assert "Defend this victim" in sentences(visit("neurons", victim=VICTIM))[0]
    assert "no round yet" in sentences(visit("neurons", run=make_run(rounds=0).id))[0]


def test_what_a_class_token_carries_is_part_of_the_channels_sum():
    maps = np.array([[[0.5, 0.25], [0.0, -1.0]]], np.float32)
    found = Conducted(("triggered",), np.zeros((1, 4, 4, 3)), maps, np.zeros((1, 4, 4)), np.array([[0, 0]]), 3)
    assert conductance_note(found, 0) == "channel −0.25 logits; most in row 1, column 1: 0.50"
    token = replace(found, class_token=np.array([1.5], np.float32))
    assert conductance_note(token, 0) == "channel +1.25 logits, class token +1.50; most in row 1, column 1: 0.50"


def test_of_another_victim_no_number_is_the_earlier_ones(home):
    run = make_run()
    path = home / f"{VICTIM}.safetensors"
    # The same answer to every image, and so one class in ten is right.
    weights = load_file(path)
    save_file({name: 0 * tensor if tensor.is_floating_point() else tensor for name, tensor in weights.items()}, path)
    found = what_if(run.id, 1, Base(neurons_choice.LEARNED), neurons_choice.Decided((), ()))
    assert (found.original.acc, found.base.acc, found.now.acc) == (0.1, 0.1, 0.1)
