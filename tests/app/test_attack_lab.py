"""The attack lab: its address is the victim's specification, and what is made there is listed beside the others."""

import base64
import io
import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from invmask.attacks.triggers.picture import RING
from invmask.data.uploaded import as_image, as_trigger, read_picture
from invmask.errors import UserError
from invmask.runs.store import owner
from invmask.runs.store.trainings import home_trainings
from invmask.runs.work.train_small_victim import train_small_victim
from invmask.settings import victim_folders
from invmask.ui.attack_lab import curves, lab_choice, made_before
from invmask.ui.parts import trigger_editor
from invmask.victims.small_victim import SmallVictim
from invmask.victims.victim import find_cards, read_card
from tests.app.conftest import address_of, sentences, visit

SHORT = {"epochs": "2", "width": "8"}


def button(app, label):
    return next(each for each in app.button if each.label == label)


def grid(app):
    return next(html.value for html in app.get("html") if "im-sample" in html.value)


def test_the_address_is_the_specification():
    words = {"trigger": "badnets", "size": "5", "target": "3", "ratio": "0.5", "seed": "7", "data": "cifar10", **SHORT}
    app = visit("attack_lab", **words)
    assert not app.exception
    assert sentences(app) == []
    assert "cat" in grid(app)
    assert "5 of 1,000 training images carry the trigger and the label cat" in " ".join(c.value for c in app.caption)
    button(app, "Train").click().run()
    (training,) = home_trainings().trainings()
    assert training.spec() == SmallVictim(
        "cifar10", "badnets", {"size": 5, "value": 1.0}, 0.005, 3, width=8, epochs=2, seed=7
    )
    spec = training.spec()
    assert {**words, "images": "1000"} == lab_choice.words_of(spec)


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("data", "gtsrb"), ("trigger", "ssba"), ("pixels", "w<script>"), ("pixels", "wwwwwwwww"), ("left", "99"),
        ("opacity", "0"), ("target", "10"), ("ratio", "3"), ("images", "60000"), ("width", "7"), ("epochs", "0"),
        ("seed", "-1"), ("what", "1"),
    ],
)  # fmt: skip
def test_nonsense_in_the_address_is_left_out_in_a_sentence(word: str, value: str):
    app = visit("attack_lab", **{word: value})
    assert not app.exception
    (sentence,) = sentences(app)
    assert sentence.startswith("Left out of the address: ")
    assert "<script>" not in sentence or "`" in sentence
    assert address_of(app) == {}


def test_without_a_trigger_nothing_can_be_trained():
    app = visit("attack_lab", pixels="none")
    assert sentences(app) == ["Nothing is drawn yet: a trigger needs at least one pixel."]
    assert "Train" not in {each.label for each in app.button}
    assert sentences(visit("attack_lab", trigger="picture")) == ["Upload a picture for the trigger first."]


def test_more_images_than_come_with_invmask_need_the_data_set():
    app = visit("attack_lab", images="5000")
    assert not app.exception
    assert ["python -m invmask data fashionmnist" in sentence for sentence in sentences(app)] == [True]
    assert button(app, "Train").disabled


def test_a_finished_victim_is_listed_opened_handed_to_defend_and_deleted():
    app = visit("attack_lab", seed="3", **SHORT)
    assert button(app, "Defend it").disabled
    button(app, "Train").click().run()
    (training,) = home_trainings().trainings()
    train_small_victim(training.path)
    app.run()
    assert button(app, "Train").disabled
    assert not button(app, "Defend it").disabled
    assert next(metric.value for metric in app.metric).endswith(" %")

    again = visit("attack_lab")
    button(again, "Open").click().run()
    assert address_of(again)["seed"] == "3"
    assert SmallVictim.from_json(training.spec().as_json()).name == training.id

    defend = visit("defend", victim=training.id)
    assert not defend.exception
    assert sentences(defend)[0].startswith("Press **Step**")
    assert not visit("start", victim=training.id).exception

    (path,) = (path for path in find_cards(victim_folders()).values() if path.stem == training.id)
    card = read_card(path)
    with zipfile.ZipFile(io.BytesIO(made_before._archive(card, training.spec()))) as archive:
        assert SmallVictim.from_json(json.loads(archive.read("spec.json"))).name == training.id
        assert set(archive.namelist()) == {f"{card.name}.json", f"{card.name}.safetensors", "spec.json"}

    owner = visit("attack_lab")
    assert button(owner, "Delete this victim").disabled, "somebody else made it"
    button(app, "Delete this victim").click().run()
    assert not training.path.exists()
    assert not path.exists()


def test_an_uploaded_picture_becomes_a_trigger_and_anything_else_a_sentence():
    buffer = io.BytesIO()
    Image.new("RGBA", (300, 200), (255, 0, 0, 128)).save(buffer, "PNG")
    png = as_trigger(read_picture(buffer.getvalue()))
    with Image.open(io.BytesIO(base64.b64decode(png))) as small:
        assert small.size == (24, 16)
        assert small.getpixel((0, 0)) == (255, 0, 0, 128)
    assert as_image(read_picture(buffer.getvalue()), (1, 28, 28)).shape == (28, 28, 1)
    assert as_image(read_picture(buffer.getvalue()), (3, 32, 32))[0, 0].tolist() == [128, 0, 0]
    for content in (b"", b"GIF89a", b"\x80\x04cos\nsystem\n", buffer.getvalue()[:40]):
        with pytest.raises(UserError, match="not a PNG, JPEG or WebP"):
            read_picture(content)
    with pytest.raises(UserError, match="at most 5 MB"):
        read_picture(b"x" * (5 << 20) + b"x")
    app = visit("attack_lab", trigger="picture", picture=RING.replace("+", "-").replace("/", "_").rstrip("="))
    assert not app.exception
    assert sentences(app) == []
    assert sentences(visit("attack_lab", trigger="picture", picture="AAAA"))[0].startswith("Left out of the address")


@pytest.mark.parametrize(
    "value",
    [
        None, 3, {}, {"pixels": 3, "left": 0, "top": 0, "opacity": 1},
        {"pixels": "z", "left": 0, "top": 0, "opacity": 1},
        {"pixels": "w", "left": -1, "top": 0, "opacity": 1}, {"pixels": "w" * 99, "left": 0, "top": 0, "opacity": 1},
        {"pixels": "w", "left": "0", "top": 0, "opacity": 1},
    ],
)  # fmt: skip
def test_what_a_browser_sends_may_be_anything(value: object):
    assert trigger_editor._read(value) is None


def test_a_drawing_is_read_and_its_opacity_kept_in_range():
    found = trigger_editor._read({"pixels": "w.", "left": 2, "top": 3, "opacity": 0})
    assert found == trigger_editor.Drawing("w.", 2, 3, 1)
    assert np.isclose(found.settings["opacity"], 0.01)


def somebody(key: str, **words: str):
    app = visit("attack_lab", **{"trigger": "badnets", **SHORT, **words})
    app.session_state["visitor/keys"] = [key]
    return app.run()


def press(app, label: str, place: int = 0):
    [each for each in app.button if each.label == label][place].click().run()
    assert not app.exception
    return app


def test_a_victim_belongs_to_whoever_asks_for_it_first():
    ada, grace = owner.new_key(), owner.new_key()
    press(somebody(ada), "Train")
    (training,) = home_trainings().trainings()
    assert owner.is_owned_by(training.path, [ada])
    train_small_victim(training.path)
    app = somebody(grace)
    (delete,) = (each for each in app.button if each.label == "Delete this victim")
    assert delete.disabled
    made_before._delete(training.id)
    assert training.exists()
    app = press(somebody(ada), "Delete this victim")
    assert not training.exists()


def test_a_curve_asks_for_its_victims_and_draws_what_is_measured():
    ada = owner.new_key()
    app = press(somebody(ada, epochs="1"), "Measure this curve")
    trainings = home_trainings().trainings()
    assert sorted(each.spec().poisoning_ratio for each in trainings) == list(curves.RATIOS)
    assert all(owner.is_owned_by(each.path, [ada]) and not each.is_kept() for each in trainings)
    # The points are not listed among the victims.
    for training in trainings[:2]:
        train_small_victim(training.path)
    app.run()
    assert not app.exception
    assert find_cards([victim_folders()[0]]).keys().isdisjoint(each.id for each in trainings)
    assert "2 of 6 victims trained" in {caption.value for caption in app.caption}
    (curve,) = (each.proto for each in app.get("plotly_chart") if each.proto.id.endswith("lab-curve-ratio"))
    drawn = json.loads(curve.spec)["data"]
    asr = next(line for line in drawn if line["name"] == "ASR")
    measured = {each.spec().poisoning_ratio: each.epochs()[-1].measures for each in trainings[:2]}
    expected = {place: 100 * measured[ratio].asr for place, ratio in enumerate(curves.RATIOS) if ratio in measured}
    assert dict(zip(asr["x"], asr["y"], strict=True)) == pytest.approx(expected, abs=0.01)

    # Others watch it; its maker stops it.
    other = somebody(owner.new_key(), epochs="1")
    assert "lab-curve-ratio-stop" not in {each.key for each in other.button}
    curves._stop(curves.curves_of(trainings[0].spec())[0])
    assert any(each.has_work() for each in trainings)
    app.button(key="lab-curve-ratio-stop").click().run()
    assert not any(each.has_work() for each in trainings)


def test_one_person_may_have_so_many_trainings_at_once(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("INVMASK_OWNER_RUNS", "1")
    ada, grace = owner.new_key(), owner.new_key()
    press(somebody(ada, seed="1"), "Train")
    app = press(somebody(ada, seed="2"), "Train")
    (told,) = (each.value for each in app.error)
    assert told.startswith("A training of yours goes on already, and one person may have no more at once")
    assert len(home_trainings().trainings()) == 1
    press(somebody(grace, seed="2"), "Train")
    assert len(home_trainings().trainings()) == 2
    app = press(somebody(grace), "Measure this curve")
    assert len(home_trainings().trainings()) == 2
    assert app.error


def test_without_a_limit_of_the_server_there_is_one():
    ada = owner.new_key()
    for place in range(2):
        press(somebody(ada), "Measure this curve", place)
    # The square of side 3 at 10 % is a point of both.
    points = len(home_trainings().trainings())
    assert points == len(curves.RATIOS) + len(curves.SIDES) - 1
    app = press(somebody(ada, seed="3"), "Measure this curve")
    assert len(home_trainings().trainings()) == points
    assert "your other curves" in app.error[0].value
