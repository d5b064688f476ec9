"""invmask from Python, as README has it."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

import invmask
from invmask.exports.model import onnx_model, read_weights
from invmask.masks.state import View
from tests.unit.run_helpers import ROOT

VICTIM = "fashionmnist-cnn4-badnets"
SHORT = {"rounds_search": 4, "rounds_minimise": 2, "rounds_sparsify": 2}


@pytest.fixture(scope="module")
def victim():
    return invmask.load_victim(VICTIM)


@pytest.fixture(scope="module")
def defended(victim):
    return invmask.defend(victim, invmask.draw_budget(victim, spc=2), **SHORT)


def test_every_round_is_told_in_order(victim):
    told = []
    found = invmask.defend(victim, invmask.draw_budget(victim, spc=2), on_round=told.append, **SHORT)
    assert [record.round for record in told] == list(range(1, 9))
    assert found.records == tuple(told)
    assert found.because.startswith("The last phase")


def test_it_is_the_run_that_the_commands_make(defended):
    from invmask import settings
    from invmask.defenses.base import drive
    from invmask.runs.work.bench import make_bench, spec_of

    bench = make_bench(spec_of(VICTIM, "default", 2, 0, SHORT), settings.victim_folders())
    *_, (state, last) = drive(bench.defense, bench.subject, bench.defense.init(bench.subject))
    assert last == defended.records[-1]
    assert torch.equal(bench.defense.masks(state).mask, defended.repair.masks.mask)


def test_views_are_measured_with_the_victims_own_trigger(victim, defended):
    measured = defended.measure()
    assert tuple(measured) == defended.views == (View.ORIGINAL, View.PRUNED, View.INVERSE)
    assert measured[View.ORIGINAL].asr > 0.95
    assert measured[View.ORIGINAL].acc == pytest.approx(victim.card.acc, abs=0.02)


def test_a_view_answers_as_its_folded_copy_and_its_files_do(defended, tmp_path):
    images = torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    wanted = defended.network("inverse")(images)
    assert not torch.allclose(wanted, defended.network()(images), atol=1e-2)
    assert torch.allclose(defended.fold("inverse").run(images), wanted, atol=1e-4)
    for ending, read in ((".safetensors", lambda path: read_weights(path).run), (".onnx", onnx_model)):
        path = tmp_path / f"inverse{ending}"
        assert defended.export(path, "inverse").holds
        assert torch.allclose(read(path)(images), wanted, atol=1e-3)


def test_a_defence_of_weights_has_the_view_repaired(victim):
    found = invmask.defend(victim, invmask.draw_budget(victim, spc=2), defense="ft", epochs=1)
    assert found.views == (View.ORIGINAL, View.REPAIRED)
    assert found.verdict is None
    images = torch.zeros(1, 1, 28, 28)
    assert torch.equal(found.network()(images), found.network("repaired")(images))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda victim: invmask.load_victim("nobody"), "There is no victim 'nobody'"),
        (lambda victim: invmask.draw_budget(victim, spc=101), "SPC"),
        (lambda victim: invmask.defend(victim, invmask.draw_budget("cifar10", spc=1)), "The budget has to be images"),
        (lambda victim: invmask.defend(victim, invmask.draw_budget(victim).take(np.array([], int))), "The budget"),
        (
            lambda victim: invmask.defend(victim, replace(invmask.draw_budget(victim), labels=-np.ones(100))),
            "The budget",
        ),
        (lambda victim: invmask.defend(victim, invmask.draw_budget(victim), "nothing"), "preset"),
        (lambda victim: invmask.defend(victim, invmask.draw_budget(victim), tempo=1), "tempo"),
    ],
    ids=["victim", "budget", "another data set", "no image", "a label below 0", "preset", "setting"],
)
def test_mistakes_are_told_in_a_sentence(victim, wrong, said):
    with pytest.raises(invmask.UserError, match=said):
        wrong(victim)


def test_a_view_or_an_ending_that_there_is_not_is_told(defended, tmp_path):
    with pytest.raises(invmask.UserError, match="choose from: original, pruned, inverse"):
        defended.network("repaired")
    with pytest.raises(invmask.UserError, match=r"one of \.safetensors, \.onnx"):
        defended.export(tmp_path / "model.pt")


def test_no_name_of_the_api_is_hidden_by_a_module(victim):
    assert victim.card.name in invmask.victim_names()
    assert all(callable(getattr(invmask, name)) for name in invmask.__all__)
    assert not {path.stem for path in (ROOT / "invmask").iterdir()} & set(invmask.__all__)


def test_the_verdict_is_that_of_a_run_even_where_only_the_search_has_rounds(victim):
    rounds = {"rounds_minimise": 0, "rounds_sparsify": 1}
    found = invmask.defend(victim, invmask.draw_budget(victim, spc=10), **rounds)
    assert found.verdict is not None
    assert found.verdict.label == victim.card.target_label


def test_torch_waits_until_something_is_asked_for():
    code = (
        "import sys, invmask; print('torch' in sys.modules, 'defend' in dir(invmask));"
        "invmask.victim_names(); print('torch' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["False", "True", "True"]
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = invmask.nothing
