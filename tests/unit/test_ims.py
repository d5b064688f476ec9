"""The IMS stepper: phases, stopping, repeatability, and networks of other kinds."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from invmask.defenses.base import Record, Subject, drive
from invmask.defenses.ims import search, stepper
from invmask.defenses.ims.config import PRESETS, IMSConfig, Phase, preset
from invmask.defenses.ims.losses import agree, divergence
from invmask.defenses.ims.state import IMSState
from invmask.defenses.ims.stepper import IMS
from invmask.errors import UserError
from invmask.masks.state import View
from invmask.models.preactresnet import PreActResNet

SHORT = {"rounds_initialise": 2, "rounds_minimise": 3, "rounds_sparsify": 2, "inner_steps": 2}
SEARCHES = {"rounds_search": 4, "search_steps": 1, "search_images": 4}
"""A round for each family of triggers."""


def short(name: str, **changes: float) -> IMSConfig:
    """A preset with few rounds; with a search where it has one."""
    searches = SEARCHES if PRESETS[name].rounds_search else {}
    return preset(name, **{**SHORT, **searches, **changes})


def make_subject(images: int = 6, precision: str = "float32") -> Subject:
    torch.manual_seed(5)
    model = PreActResNet(10, width=2).eval().requires_grad_(False)
    return Subject(model, torch.rand(images, 3, 32, 32), 10, precision)  # type: ignore[arg-type]


def run_through(config: IMSConfig, subject: Subject) -> tuple[IMSState, list[Record]]:
    defense = IMS(config)
    steps = list(drive(defense, subject, defense.init(subject)))
    return steps[-1][0], [record for _, record in steps]


def same(one: IMSState, other: IMSState) -> bool:
    tensors, numbers = IMS(IMSConfig()).pack(one)
    other_tensors, other_numbers = IMS(IMSConfig()).pack(other)
    return numbers == other_numbers and all(torch.equal(tensors[key], other_tensors[key]) for key in tensors)


@pytest.mark.parametrize("name", list(PRESETS))
def test_phases_come_in_order_and_end_by_their_rounds(name: str) -> None:
    state, records = run_through(short(name, clear_lead=20), make_subject())
    counts = {Phase.INITIALISE: 2, Phase.MINIMISE: 3, Phase.SPARSIFY: 2}
    if name == "default":
        counts = {Phase.SEARCH: 4, **counts}
    assert [record.stage for record in records] == [phase for phase, count in counts.items() for _ in range(count)]
    assert [record.round for record in records] == list(range(1, len(records) + 1))
    assert [record.round_in_stage for record in records] == [x + 1 for count in counts.values() for x in range(count)]
    last = [record.round_in_stage == counts[Phase(record.stage)] for record in records]
    assert [record.stage_ended is not None for record in records] == last
    assert state.ended is not None
    assert "sparsify" in state.ended
    early = {Phase.SEARCH, Phase.INITIALISE}
    assert all((record.synthesis is None) == (record.stage in early) for record in records)


@pytest.mark.parametrize("mirrors", [True, False])
def test_images_are_mirrored_only_where_they_keep_their_class(monkeypatch: pytest.MonkeyPatch, mirrors: bool) -> None:
    seen = []
    real = stepper.augment

    def spy(images: torch.Tensor, generator: torch.Generator, padding: int, flip: bool) -> torch.Tensor:
        seen.append(flip)
        return real(images, generator, padding, flip)

    monkeypatch.setattr(stepper, "augment", spy)
    defense, subject = IMS(short("default", rounds_search=0)), replace(make_subject(), mirrors=mirrors)
    defense.step(subject, defense.init(subject))
    assert set(seen) == {mirrors}


def test_the_views_shall_answer_as_the_original_does_to_the_mixed_images(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    real = stepper.on_clean
    monkeypatch.setattr(stepper, "on_clean", lambda *given: seen.append(given[2:4]) or real(*given))
    subject = make_subject()
    for share in (0.0, 1.0):
        defense = IMS(short("default", rounds_search=0, crop_padding=0, mixing=share))
        defense.step(subject, defense.init(subject))
        images, reference = seen[-1]
        assert torch.equal(images, subject.images) == (share == 0)
        torch.testing.assert_close(reference, subject.answers(subject.reference, images))


def test_a_phase_ends_when_the_loss_stalls() -> None:
    # Progress that no round can make: the first sets the best, two more are waited for, and the next one ends it.
    config = preset("paper", **{**SHORT, "rounds_initialise": 50}, patience=2, progress_ratio=0.5)
    _, records = run_through(config, make_subject())
    first = [record for record in records if record.stage is Phase.INITIALISE]
    assert len(first) == 4
    assert first[-1].notes["rounds without progress"] == 3
    assert first[-1].stage_ended == "no progress in 3 rounds"


def test_phases_of_no_rounds_are_passed_over() -> None:
    config = preset("paper", **{**SHORT, "rounds_initialise": 0, "rounds_sparsify": 0})
    _, records = run_through(config, make_subject())
    assert {record.stage for record in records} == {Phase.MINIMISE}


def test_optimizer_state_is_fresh_in_each_phase() -> None:
    subject, defense = make_subject(), IMS(preset("paper", **SHORT))
    steps = list(drive(defense, subject, defense.init(subject)))
    begun = [state for state, record in steps if record.stage_ended and state.ended is None]
    assert [state.phase for state in begun] == [Phase.MINIMISE, Phase.SPARSIFY]
    for state in begun:
        assert state.optimizer_steps == 0
        assert float(state.mask_square.abs().sum() + state.selection_mean.abs().sum()) == 0


@pytest.mark.parametrize("name", list(PRESETS))
def test_the_same_seed_gives_the_same_records_and_another_seed_others(name: str) -> None:
    config = short(name, batch_size=4)
    _, once = run_through(config, make_subject())
    _, again = run_through(config, make_subject())
    _, other = run_through(replace(config, seed=9), make_subject())
    assert once == again
    assert once != other


@pytest.mark.parametrize("name", list(PRESETS))
def test_states_survive_packing_between_any_two_rounds(name: str) -> None:
    subject, defense = make_subject(), IMS(short(name, batch_size=4))
    through, kept = defense.init(subject), defense.init(subject)
    while defense.done(through) is None:
        through, record = defense.step(subject, through)
        kept, of_kept = defense.step(subject, defense.unpack(*defense.pack(kept)))
        assert record == of_kept
        assert same(through, kept)


def test_a_step_leaves_the_given_state_and_the_model_unchanged() -> None:
    subject, defense = make_subject(), IMS(preset("paper", **SHORT))
    state = defense.init(subject)
    before = {key: value.clone() for key, value in defense.pack(state)[0].items()}
    weights = {key: value.clone() for key, value in subject.model.state_dict().items()}
    defense.step(subject, state)
    after = defense.pack(state)[0]
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert all(torch.equal(weights[key], value) for key, value in subject.model.state_dict().items())
    assert not any(module._forward_hooks for module in subject.model.modules())


def test_perturbations_keep_to_the_bound() -> None:
    config = preset("paper", **SHORT, inner_learning_rate=0.5, norm_bound=0.1)
    subject, defense = make_subject(), IMS(config)
    steps = list(drive(defense, subject, defense.init(subject), 4))
    assert [record.synthesis is None for _, record in steps] == [True, True, False, False]
    for state, record in steps[2:]:
        assert record.synthesis.largest == pytest.approx(0.1)
        assert float(state.example_perturbations.abs().max()) == pytest.approx(0.1)


def test_masks_stay_in_range_and_do_change() -> None:
    state, _ = run_through(preset("paper", **SHORT, outer_learning_rate=0.9, sparsity_weight=0), make_subject())
    for vector in (state.mask, state.selection):
        assert float(vector.min()) >= 0
        assert float(vector.max()) <= 1
    assert float(state.selection.min()) < 0.5


def test_the_inner_report_adds_up() -> None:
    _, records = run_through(preset("paper", **SHORT, inner_learning_rate=0.3), make_subject())
    reports = [record.synthesis for record in records if record.synthesis is not None]
    assert len(reports) == 5
    for inner in reports:
        assert inner.samples == 6
        assert sum(inner.flipped_to) == round(inner.flipped * 6)
        assert 0 <= inner.inverse_agrees <= 1
        assert 0 <= inner.pruned_restores <= 1


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "resnet18", "vgg11_bn"])
def test_any_network_with_convolutions(name: str) -> None:
    import torchvision

    torch.manual_seed(0)
    model = torchvision.models.get_model(name, num_classes=5).eval().requires_grad_(False)
    subject = Subject(model, torch.rand(2, 3, 64, 64), 5)
    short = {"rounds_initialise": 1, "rounds_minimise": 1, "rounds_sparsify": 1, "inner_steps": 1}
    state, records = run_through(preset("paper", **short), subject)
    convolutions = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    assert records[-1].counts["channels"] == sum(module.out_channels for module in convolutions) == len(state.mask)


def test_bfloat16_runs_close_to_float32() -> None:
    _, full = run_through(preset("paper", **SHORT), make_subject())
    _, half = run_through(preset("paper", **SHORT), make_subject(precision="bfloat16"))
    assert half[0].terms["pruned clean"] == pytest.approx(full[0].terms["pruned clean"], rel=0.05)
    assert half != full


def test_mistakes_in_settings_are_told_in_one_sentence() -> None:
    with pytest.raises(UserError, match=r"Norm bound has to be between 0.001 and 1, not 7\."):
        preset("paper", norm_bound=7)
    with pytest.raises(UserError, match="There is no preset 'fast'"):
        preset("fast")
    with pytest.raises(UserError, match="no setting named colour"):
        IMSConfig.from_json({"colour": 1})


def test_a_run_without_any_round_is_refused():
    with pytest.raises(UserError, match=r"At least one phase that learns the mask needs a round\."):
        IMSConfig(rounds_search=30, rounds_initialise=0, rounds_minimise=0, rounds_sparsify=0)
    for phase in ("initialise", "minimise", "sparsify"):
        others = {f"rounds_{each}": 0 for each in ("initialise", "minimise", "sparsify") if each != phase}
        assert sum(map(IMSConfig(**others).rounds, Phase)) == IMSConfig().rounds(Phase(phase))


def test_augmentation_draws_anew_and_keeps_the_shown_images_plain() -> None:
    subject = make_subject()
    changes = {"rounds_search": 0, "rounds_initialise": 0, "inner_steps": 1, "inner_learning_rate": 0.004}
    defense = IMS(preset("default", **changes))
    (first, _), (second, _) = drive(defense, subject, defense.init(subject), 2)
    assert not torch.equal(first.generator, second.generator)
    # One AdamW step moves a pixel by the learning rate at most, so what is shown differs from the image by that.
    assert float(first.example_perturbations.abs().max()) <= 0.0041
    assert first.example_indices.tolist() == list(range(6))


def test_people_see_the_synthesized_triggers_on_the_images_themselves() -> None:
    subject, defense = make_subject(), IMS(short("default", rounds_initialise=0, clear_lead=20))
    (state, record) = list(drive(defense, subject, defense.init(subject), 5))[-1]
    assert record.stage is Phase.MINIMISE
    assert state.hypotheses != ()
    shown = subject.images[state.example_indices]
    expected = search.triggered(state.hypotheses, shown)
    torch.testing.assert_close(shown + state.example_perturbations, expected)
    assert float(state.example_perturbations.abs().amax((1, 2, 3)).min()) > 0
    examples = defense.examples(state)
    assert examples is not None
    assert not examples.one_for_all


def test_after_a_search_no_answer_is_too_certain_to_be_unlearned(monkeypatch: pytest.MonkeyPatch) -> None:
    losses = []
    real = stepper.on_clean
    monkeypatch.setattr(stepper, "on_clean", lambda *given: losses.append(given[5]) or real(*given))
    for name in PRESETS:
        losses.clear()
        run_through(short(name), make_subject())
        assert set(losses) == {divergence if name == "default" else agree}
    for loss in (agree, divergence):
        logits = torch.tensor([[85.0, 0.0]], requires_grad=True)
        loss(logits.softmax(1), torch.tensor([[0.0, 1.0]])).backward()
        assert logits.grad is not None
        # Sure of the wrong label by 36 powers of ten.
        assert abs(float(logits.grad[0, 0])) == pytest.approx(1 if loss is divergence else 0, abs=1e-6)
    impossible = torch.tensor([[1.0, 0.0]])
    assert divergence(impossible, impossible.flip(1)).isfinite()


def test_a_new_run_answers_as_the_original_wherever_the_mask_starts() -> None:
    subject = make_subject()
    for name in PRESETS:
        masks = IMS(preset(name)).masks(IMS(preset(name)).init(subject))
        for view in View:
            assert torch.equal(masks.gate(view), torch.ones(len(masks.mask)))
