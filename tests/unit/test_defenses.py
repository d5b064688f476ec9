"""The contract of a defence, held to by every one in the registry: a new file is tested the day it appears."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor

from invmask.cli import main
from invmask.data.budget import clean_budget
from invmask.defenses import registry
from invmask.defenses.base import PORTRAITS, Searching, Subject, drive
from invmask.defenses.entry import Entry
from invmask.defenses.family_texts import FAMILY_WORDS
from invmask.defenses.settings import DefenseConfig
from invmask.errors import UserError
from invmask.masks.attach import sharing_copy
from invmask.masks.repair import Gates, Weights, network_of
from invmask.masks.state import View
from invmask.runs.store.all_runs import RunStore
from invmask.runs.store.records import RunState, entry_from_json, entry_to_json
from invmask.runs.store.run import Run
from invmask.runs.store.spec import RunSpec
from invmask.runs.work import progress
from tests.conftest import make_narrow
from tests.unit.run_helpers import VICTIM, advance_to, without_time, write_victims

EVERY = list(registry.entries().values())
every_defense = pytest.mark.parametrize("entry", EVERY, ids=[entry.name for entry in EVERY])


def short(entry: Entry) -> DefenseConfig:
    """The first preset with so few rounds that a run takes seconds; what is a number of rounds goes by its name."""
    config = entry.presets[entry.first_preset]
    counts = [s for s in config.settings() if s.whole and re.search("rounds|epochs|iterations|steps", s.name)]
    return replace(config, **{setting.name: int(max(2, setting.minimum)) for setting in counts})


def subject() -> Subject:
    budget = clean_budget("cifar10", 1, 0)
    return Subject(make_narrow(width=2), budget.tensor(), 10, labels=budget.label_tensor())


def steps(entry: Entry, given: Subject, most: int = 8) -> list[tuple[Any, Any]]:
    defense = entry.build(short(entry))
    return list(drive(defense, given, defense.init(given), most))


def answers(repair: Any, given: Subject) -> dict[View, Tensor]:
    return {view: network_of(repair, given.model, view)(given.images) for view in repair.views}


@every_defense
def test_it_says_of_itself_what_pages_need(entry: Entry) -> None:
    assert re.fullmatch(r"[a-z0-9-]{2,16}", entry.name)
    assert entry.capabilities.searches == isinstance(entry.build(short(entry)), Searching)
    assert entry.family in ("pruning", "fine-tuning", "trigger synthesis")
    assert entry.explanation.endswith(".")
    assert set(entry.preset_words) == set(entry.presets)
    names = [setting.name for setting in entry.config.settings()]
    assert sum(setting.basic for setting in entry.config.settings()) <= 8
    assert len(names) == len(set(names))
    # A preset may pass over a stage, but nobody's stage is for no preset.
    for stage in entry.stages:
        assert any(config.rounds(stage.name) >= 1 for config in entry.presets.values())
    for config in entry.presets.values():
        assert any(config.rounds(stage.name) >= 1 for stage in entry.stages)
        assert entry.config.from_json(json.loads(json.dumps(config.as_json()))) == config
    assert set(entry.axes) <= set(names)
    for setting in entry.config.settings():
        for bad in (setting.minimum - 1, setting.maximum + 1):
            with pytest.raises(UserError, match=r"has to be between"):
                replace(entry.presets[entry.first_preset], **{setting.name: bad})
    with pytest.raises(UserError, match="no setting"):
        entry.config.from_json({"colour": 1})
    with pytest.raises(UserError, match="no preset"):
        entry.preset("nobody's")


@every_defense
def test_records_are_typed_and_their_names_known(entry: Entry) -> None:
    taken = steps(entry, subject())
    assert taken, "a short run takes a round"
    for number, (state, record) in enumerate(taken, 1):
        assert record.round == number
        assert record.stage in [stage.name for stage in entry.stages]
        assert set(record.terms) <= set(entry.terms)
        assert all(isinstance(value, float) for value in (*record.terms.values(), record.total))
        assert all(type(value) is int for value in record.counts.values())
        assert json.loads(json.dumps(record.notes)) == record.notes
        assert (record.synthesis is not None) <= entry.capabilities.triggers
        kind = Gates if entry.capabilities.channels else Weights
        assert isinstance(entry.build(short(entry)).repair(state), kind)
    of_stage = [record.round_in_stage for _, record in taken if record.stage == entry.stages[0].name]
    assert of_stage == list(range(1, len(of_stage) + 1))


@every_defense
def test_what_it_finds_while_it_searches_is_as_pages_need_it(entry: Entry) -> None:
    given, defense = subject(), entry.build(short(entry))
    if not isinstance(defense, Searching):
        return
    assert defense.candidates(given, defense.init(given)) is None
    taken = steps(entry, given)
    assert taken[0][1].stage == entry.stages[0].name, "the search comes first"
    assert taken[-1][1].stage != entry.stages[0].name
    for state, record in taken:
        found = defense.candidates(given, state)
        assert (found is not None) == (record.stage == entry.stages[0].name)
        if found is None:
            continue
        count = len(found.labels)
        assert 0 < count <= min(PORTRAITS, given.num_classes)
        assert found.family in FAMILY_WORDS
        assert found.labels.dtype is torch.int64
        assert found.labels.tolist() == sorted(set(found.labels.tolist()))
        assert set(found.labels.tolist()) <= set(range(given.num_classes))
        assert (found.portraits.dtype, found.portraits.shape) == (torch.float32, (count, *given.shape))
        for shares in (found.portraits, found.flips):
            assert float(shares.min()) >= 0
            assert float(shares.max()) <= 1 + 1e-6
        assert found.sizes.dtype is found.flips.dtype is torch.float32
        assert found.sizes.shape == found.flips.shape == found.searched.shape == (count,)
        assert bool((found.sizes > 0).all())
        assert found.searched.dtype is torch.bool
        assert found.standing_out is None or found.standing_out in found.labels.tolist()
        assert found.lead is None or found.lead >= 0
        assert {tensor.device.type for tensor in (found.labels, found.portraits, found.sizes, found.flips)} == {"cpu"}


@every_defense
def test_its_states_go_through_files_between_any_two_rounds(entry: Entry) -> None:
    given, defense = subject(), entry.build(short(entry))
    state = again = defense.init(given)
    for _ in range(6):
        if defense.done(state) is not None:
            break
        tensors, numbers = defense.pack(again)
        # Copies, for two names may share one memory, which safetensors refuses.
        stored = load(save({name: tensor.clone() for name, tensor in tensors.items()}))
        again = defense.unpack(stored, json.loads(json.dumps(numbers)))
        (state, one), (again, other) = defense.step(given, state), defense.step(given, again)
        assert one == other
    (tensors, numbers), (other_tensors, other_numbers) = defense.pack(state), defense.pack(again)
    assert numbers == other_numbers
    assert tensors.keys() == other_tensors.keys()
    assert all(torch.equal(tensors[name], other_tensors[name]) for name in tensors)


@every_defense
def test_a_step_changes_neither_the_model_nor_the_state_that_it_is_given(entry: Entry) -> None:
    given, defense = subject(), entry.build(short(entry))
    weights = {name: tensor.clone() for name, tensor in given.model.state_dict().items()}
    state = defense.init(given)
    before = {name: tensor.clone() for name, tensor in defense.pack(state)[0].items()}
    defense.step(given, state)
    assert all(torch.equal(before[name], tensor) for name, tensor in defense.pack(state)[0].items())
    assert all(torch.equal(weights[name], tensor) for name, tensor in given.model.state_dict().items())
    assert not any(module._forward_hooks for module in given.model.modules())
    assert not given.model.training


@every_defense
def test_its_repair_changes_answers_and_leaves_the_original_view_alone(entry: Entry) -> None:
    given = subject()
    plain = sharing_copy(given.model)(given.images)
    changed = []
    for state, _ in steps(entry, given):
        repair = entry.build(short(entry)).repair(state)
        found = answers(repair, given)
        torch.testing.assert_close(found[View.ORIGINAL], plain, rtol=1e-4, atol=1e-4)
        # Both by the same computation: not to the bit alike is another network.
        changed.append(not torch.equal(found[repair.views[1]], found[View.ORIGINAL]))
    assert any(changed)


@every_defense
def test_the_same_seed_gives_the_same_records_and_the_budget_matters(entry: Entry) -> None:
    first, second = steps(entry, subject()), steps(entry, subject())
    assert [record for _, record in first] == [record for _, record in second]
    other = subject()
    noise = replace(other, images=torch.rand(other.images.shape, generator=torch.Generator().manual_seed(1)))
    assert [record for _, record in steps(entry, noise)] != [record for _, record in first]


@every_defense
def test_a_run_of_it_goes_on_bit_for_bit_after_every_round_and_comes_to_an_end(entry: Entry, own_home: Path) -> None:
    write_victims(own_home / "victims")
    config = short(entry)
    spec = RunSpec(VICTIM, entry.first_preset, 1, 0, config, probe_per_class=1, defense=entry.name)
    store = RunStore(own_home / "runs")
    through, by_hand = store.create(spec), store.create(spec)
    store.go_on(through.id)
    advance_to(by_hand, 1)
    finish(through)
    rounds = through.summary().round
    for number in range(2, rounds + 1):
        # What a worker holds in memory is gone with it.
        progress._benches.clear()
        advance_to(by_hand, number)
    store.go_on(by_hand.id)
    finish(by_hand)
    assert through.summary().state is RunState.FINISHED
    assert without_time(by_hand.entries()) == without_time(through.entries())
    assert by_hand.result().views == through.result().views
    for number in (0, rounds):
        one, other = (run.repair_at(number) for run in (through, by_hand))
        assert same_repair(one, other)
    lines = [json.loads(line) for line in (through.path / "records.jsonl").read_text().splitlines()]
    assert json.loads(json.dumps([entry_to_json(entry_from_json(line)) for line in lines])) == lines


def finish(run: Run) -> None:
    from invmask.runs.work.advance import advance

    advance(run.path)


def same_repair(one: Any, other: Any) -> bool:
    if isinstance(one, Gates):
        return torch.equal(one.masks.mask, other.masks.mask) and torch.equal(one.masks.selection, other.masks.selection)
    return one.tensors.keys() == other.tensors.keys() and all(
        torch.equal(one.tensors[name], other.tensors[name]) for name in one.tensors
    )


def test_the_command_lists_every_defense(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["defenses", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in found] == list(registry.entries())
    assert found[0]["name"] == registry.DEFAULT
    wanted = {"name", "title", "family", "paper", "settings", "presets", "stages", "capabilities"}
    assert all(wanted <= set(each) for each in found)
    assert main(["defenses"]) == 0
    table = capsys.readouterr().out
    assert all(entry.title in table for entry in EVERY)


def test_a_defense_and_its_preset_are_named_in_one_word() -> None:
    assert registry.parse("paper") == ("ims", "paper")
    assert registry.parse("ims") == ("ims", "default")
    assert registry.parse("ims:paper") == ("ims", "paper")
    for wrong in ("nobody", "ims:nobody", "nobody:paper", ":", ""):
        with pytest.raises(UserError, match="There is no"):
            registry.parse(wrong)


def test_two_defenses_cannot_have_one_name() -> None:
    first = EVERY[0]
    said = {name: getattr(first, name) for name in first.__dataclass_fields__ if name != "build"}
    with pytest.raises(ValueError, match="two defences named ims"):
        registry.register(**said)(type("Another", (), {}))


def test_a_run_of_an_earlier_version_is_told_of_in_one_sentence(own_home: Path) -> None:
    write_victims(own_home / "victims")
    store = RunStore(own_home / "runs")
    run = store.create(RunSpec(VICTIM, "default", 1, 0, short(EVERY[0]), probe_per_class=1))
    spec = run.path / "spec.json"
    spec.write_text(json.dumps({key: value for key, value in json.loads(spec.read_text()).items() if key != "format"}))
    with pytest.raises(UserError, match=r"earlier version of invmask.*delete it"):
        run.spec()
    (sentence,) = store.listing().problems
    assert run.id in sentence
