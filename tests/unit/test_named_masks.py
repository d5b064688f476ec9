"""Masks by name: what was stored comes back, and neither a name nor a file can do harm."""

import pytest
import torch

from invmask.errors import UserError
from invmask.masks.state import Masks
from invmask.runs.store import named_masks
from invmask.runs.store.run import Run
from tests.unit.run_helpers import small_spec, taken, write_victims


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Run:
    home = tmp_path_factory.mktemp("named")
    write_victims(home / "victims")
    return taken(home, small_spec(), 1)


@pytest.fixture
def run(begun: Run) -> Run:
    for name in named_masks.list_names(begun):
        named_masks.delete(begun, name)
    return begun


def some_masks(channels: int = 150, seed: int = 0) -> Masks:
    return Masks(*torch.rand(2, channels, generator=torch.Generator().manual_seed(seed)), steepness=7.5)


def test_what_was_stored_comes_back(run):
    masks = some_masks()
    assert named_masks.list_names(run) == []
    assert named_masks.save(run, "  ten by hand ", masks) == "ten by hand"
    found = named_masks.load(run, "ten by hand")
    assert torch.equal(found.mask, masks.mask)
    assert torch.equal(found.selection, masks.selection)
    assert found.steepness == 7.5


def test_names_are_listed_replaced_and_deleted(run):
    for name in ("b", "A", "c_1-x"):
        named_masks.save(run, name, some_masks())
    assert named_masks.list_names(run) == ["A", "b", "c_1-x"]
    before = named_masks.stamp(run, "b")
    named_masks.save(run, "b", some_masks(seed=1))
    assert torch.equal(named_masks.load(run, "b").mask, some_masks(seed=1).mask)
    assert named_masks.stamp(run, "b") != before
    named_masks.delete(run, "b")
    assert named_masks.list_names(run) == ["A", "c_1-x"]
    assert named_masks.stamp(run, "b") == 0
    for ask in (named_masks.load, named_masks.delete):
        with pytest.raises(UserError, match="no mask named 'b'"):
            ask(run, "b")


@pytest.mark.parametrize(
    "name",
    ["", " ", "a" * 41, "../x", "a/b", "a.b", "ä", "a\n", "a\0", "learned", "Learned", "nothing cut", " Nothing Cut"],
)
def test_bad_names_are_told(run, name):
    with pytest.raises(UserError):
        named_masks.save(run, name, some_masks())
    assert not any(run.path.glob("masks/*"))


@pytest.mark.parametrize("name", ["../masks/x", "x.part", "", "/etc/passwd"])
def test_no_name_leads_out_of_the_folder(run, name):
    with pytest.raises(UserError, match="has no mask named"):
        named_masks.load(run, name)
    assert named_masks.stamp(run, name) == 0


def test_masks_of_another_network_are_refused(run):
    with pytest.raises(UserError, match="another number of channels"):
        named_masks.save(run, "small", some_masks(5))


@pytest.mark.parametrize("content", [b"", b"no safetensors at all", b"\x80\x04."])
def test_a_damaged_file_is_a_sentence(run, content):
    (run.path / "masks" / "bad.safetensors").write_bytes(content)
    with pytest.raises(UserError, match="damaged"):
        named_masks.load(run, "bad")


def test_values_out_of_range_are_damage(run):
    masks = some_masks()
    named_masks.save(run, "wild", Masks(masks.mask * 2, masks.selection))
    with pytest.raises(UserError, match="damaged"):
        named_masks.load(run, "wild")
