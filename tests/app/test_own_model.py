"""Own model: the form, what it refuses, and what the page says of a model that was brought in."""

from pathlib import Path

import numpy as np
import pytest
import torch

from invmask import settings
from invmask.runs.store.bringings import BringingStore, Status
from invmask.runs.work.bring_model import bring_model
from invmask.ui.own_model import form
from invmask.victims.bring_files import Request
from tests.app.conftest import address_of, sentences, visit
from tests.unit.own_models import bring_in, known_victim, some_images
from tests.unit.run_helpers import small_spec, taken

pytestmark = pytest.mark.usefixtures("tiny_victims")


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with a file of weights and images as arrays."""
    monkeypatch.setenv("INVMASK_DATA", str(tmp_path))
    torch.save(known_victim().model.network.state_dict(), tmp_path / "net.pt")  # type: ignore[union-attr]
    images = some_images(6)
    np.savez(tmp_path / "pictures.npz", images=images.pixels[..., 0], labels=images.labels)
    return tmp_path


def asked(weights: str, images: str, **more: str):
    app = visit("own_model")
    assert not app.exception
    app.segmented_control(key="own-model/where").set_value("server").run()
    app.text_input(key="own-model/weights-path").set_value(weights)
    app.text_input(key="own-model/images-path").set_value(images)
    for name, value in more.items():
        app.text_input(key=f"own-model/{name}").set_value(value)
    app.button(key="own-model/go").click().run()
    assert not app.exception
    return app


def test_files_on_the_server_are_brought_in_by_a_worker(data: Path):
    app = asked("net.pt", "pictures.npz")
    name = address_of(app)["bring"]
    bringing = BringingStore(settings.home()).bringing(name)
    assert bringing is not None
    assert bringing.request().weights == str(data / "net.pt")
    assert any("recognising the network" in each.value for each in app.markdown)
    bring_model(bringing.path)
    status = bringing.status()
    assert status is not None
    assert status.victim is not None, status
    app.run()
    assert app.query_params["victim"] in (status.victim, [status.victim])
    assert "bring" not in address_of(app)
    assert any("four convolutions" in each.value for each in app.markdown)
    assert any(button.label == "Check it" for button in app.button)


@pytest.mark.parametrize(
    ("weights", "more", "said"),
    [
        ("../elsewhere.pt", {}, "have to lie in"),
        ("/etc/passwd", {}, "have to lie in"),
        ("net.pt", {"mean": "a lot"}, "mean has to be numbers"),
        ("net.pt", {"size": "0x0x0"}, "height x width"),
        ("net.pt", {"architecture": "code:/tmp/net.py:Net"}, "only the command takes it"),
    ],
)
def test_what_cannot_be_asked_for_is_said(data: Path, weights: str, more: dict[str, str], said: str):  # noqa: ARG001
    assert any(said in sentence for sentence in sentences(asked(weights, "pictures.npz", **more)))


def test_a_failure_is_said_and_can_be_tried_again(data: Path):
    store = BringingStore(settings.home())
    bringing = store.new()
    bringing.ask(Request(str(data / "net.pt"), str(data / "pictures.npz")))
    bringing.end(Status(message="Choose one.", entries=("model", "ema")))
    app = visit("own_model", bring=bringing.id)
    assert "Choose one." in sentences(app)
    app.selectbox(key="own-model/entry").set_value("ema")
    app.button(key="own-model/go").click().run()
    assert bringing.request().entry == "ema"
    assert bringing.has_work()


def test_the_address_may_name_anything():
    for name in ("../x", "bring-0000000000000000", "x" * 300):
        app = visit("own_model", bring=name)
        assert not app.exception
        assert "bring" not in address_of(app)


def test_names_of_uploaded_files_never_lead_outside(tmp_path: Path):
    class Uploaded:
        name = "../../../evil/../x.png"

        def getbuffer(self) -> bytes:
            return b"1"

    path = form._write(tmp_path / "images", Uploaded())
    assert path.resolve().is_relative_to(tmp_path / "images")


def test_the_page_shows_the_run_and_leads_on():
    card = bring_in(home=settings.home()).card
    run = taken(settings.home(), small_spec(card.name, probe_per_class=2), 3)
    app = visit("own_model", victim=card.name, run=run.id)
    assert not app.exception
    assert any("What was found out" in head.value for head in app.subheader)
    assert any("4 of each class" in each.value or "8 of each class" in each.value for each in app.markdown)
