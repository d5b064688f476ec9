"""The IMS stepper: phases, stopping, repeatability, and networks of other kinds."""

import itertools
from dataclasses import replace

import pytest
import torch
from torch import nn

from invmask.defenses.base import Record, Subject, drive, pack_fields
from invmask.defenses.ims import outer, race, stepper
from invmask.defenses.ims.config import PRESETS, IMSConfig, Phase, preset
from invmask.defenses.ims.perturbation import weakened
from invmask.defenses.ims.state import VECTORS, IMSState, unpack
from invmask.defenses.ims.stepper import IMS
from invmask.errors import UserError
from invmask.masks.state import View
from invmask.models.preactresnet import PreActResNet18

SHORT = {"rounds_initialise": 2, "rounds_minimise": 3, "rounds_sparsify": 2, "inner_steps": 2}


def make_subject(images: int = 6, precision: str = "float32") -> Subject:
    torch.manual_seed(5)
    model = PreActResNet18(10, width=2).eval().requires_grad_(False)
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
    state, records = run_through(preset(name, **SHORT), make_subject())
    assert [record.stage for record in records] == [Phase.INITIALISE] * 2 + [Phase.MINIMISE] * 3 + [Phase.SPARSIFY] * 2
    assert [record.round for record in records] == list(range(1, 8))
    assert [record.round_in_stage for record in records] == [1, 2, 1, 2, 3, 1, 2]
    assert [record.stage_ended is not None for record in records] == [False, True, False, False, True, False, True]
    assert state.ended is not None
    assert "sparsify" in state.ended
    assert all((record.synthesis is None) == (record.stage is Phase.INITIALISE) for record in records)


def test_the_effort_follows_what_is_kept_of_the_clean_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    shares = itertools.chain([0.99, 0.99, 0.5], itertools.repeat(0.99))
    monkeypatch.setattr(stepper, "kept", lambda *_: next(shares))
    config = preset("default", **SHORT, keep_clean=0.9, effort_growth=2, most_effort=3, one_label=1)
    config = replace(config, rounds_initialise=4)
    subject, defense = make_subject(), IMS(config)
    efforts = [(state.effort, state.phase) for state, _ in drive(defense, subject, defense.init(subject))]
    first, later = Phase.INITIALISE, Phase.MINIMISE
    # At most 3 times as hard, half as hard after a round that cost too much, and 1 again in a new phase.
    assert efforts[:6] == [(2, first), (3, first), (1.5, first), (1, later), (2, later), (3, later)]
    assert all(state.effort == 1 for state, _ in [run_through(preset("default", **SHORT), subject)])


def test_the_first_phase_ends_when_what_is_cut_leads_to_one_label(monkeypatch: pytest.MonkeyPatch) -> None:
    def answers(subject: Subject, _gates: torch.Tensor, images: torch.Tensor, _kappa: float) -> torch.Tensor:
        return torch.eye(subject.num_classes)[[3, 3, 3, 3, 1, 1][: len(images)]]

    monkeypatch.setattr(stepper, "amplified_answers", answers)
    config = preset("default", **{**SHORT, "rounds_initialise": 5}, keep_clean=0.9, one_label=0.6)
    _, records = run_through(config, make_subject())
    assert records[0].stage_ended == "the channels cut, turned up, lead 67% of the clean images to one label"
    assert records[1].stage is Phase.MINIMISE
    _, records = run_through(replace(config, one_label=0.7), make_subject())
    assert records[4].stage is Phase.INITIALISE
    _, records = run_through(replace(config, keep_clean=0), make_subject())
    assert records[4].stage is Phase.INITIALISE


RACE = preset("default", **{**SHORT, "rounds_initialise": 8}, label_rounds=6, crop_padding=0, hold_images=0)


def test_in_a_race_every_label_takes_the_steps_that_it_would_take_alone() -> None:
    subject, defense = make_subject(), IMS(replace(RACE, keep_clean=0.9))
    state = defense.init(subject)
    alone = [replace(state, label=label, race_over=True) for label in range(subject.num_classes)]
    totals = [0.0] * subject.num_classes
    for taken in (1, 2):
        state, record = defense.step(subject, state)
        steps = [defense.step(subject, each) for each in alone]
        alone = [each for each, _ in steps]
        totals = [total + step.total for total, (_, step) in zip(totals, steps, strict=True)]
        order = sorted(range(subject.num_classes), key=totals.__getitem__)
        # After a third of the rounds half of the labels are left.
        left = order if taken == 1 else order[: -(-len(order) // 2)]
        assert state.race_labels.tolist() == left
        assert record.notes["racing"] == len(left)
        assert record.notes["label"] == left[0]
        assert record.total == steps[left[0]][1].total
        assert record.notes["lead"] == race.lead(state) == pytest.approx((totals[left[1]] - totals[left[0]]) / taken)
        for place, label in enumerate(left):
            runner = race.runner(state, place)
            assert all(torch.equal(getattr(runner, name), getattr(alone[label], name)) for name in VECTORS)
            assert runner.effort == alone[label].effort
        assert torch.equal(state.mask, alone[left[0]].mask)


def test_a_race_takes_as_many_images_of_every_answer() -> None:
    answers = torch.tensor([2, 2, 2, 0, 2, 1, 0, 2])
    assert race.spread(answers, 6).tolist() == [0, 1, 3, 5, 6]
    # Whole turns only: else it would always be the same labels that are shown once more.
    assert race.spread(answers, 5).tolist() == [0, 3, 5]
    assert race.spread(answers, 2).tolist() == [0, 3, 5]
    assert race.spread(answers, 20).tolist() == list(range(8))


def test_a_race_looks_at_images_of_every_answer_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(race, "IMAGES", 2)
    subject, defense = make_subject(), IMS(RACE)
    state = defense.init(subject)
    state = replace(state, reference=0.1 + 0.8 * torch.eye(subject.num_classes)[[3, 3, 3, 5, 3, 5]])
    _, record = defense.step(subject, state)
    two = [0, 3]
    fewer = replace(subject, images=subject.images[two])
    _, alone = defense.step(fewer, replace(state, reference=state.reference[two]))
    assert record.terms == pytest.approx(alone.terms, rel=1e-5)
    _, of_all = IMS(replace(RACE, label_rounds=0)).step(subject, state)
    assert record.terms["pruned clean"] != pytest.approx(of_all.terms["pruned clean"], rel=1e-5)


def test_a_label_that_stands_out_is_gone_on_with_and_else_the_masks_begin_anew() -> None:
    subject = make_subject()
    for lead, stands_out in ((0.0, True), (20.0, False)):
        defense = IMS(replace(RACE, label_lead=lead))
        steps = list(drive(defense, subject, defense.init(subject)))
        decided, record = steps[5]
        assert record.notes["racing"] == 3
        assert decided.race_over
        assert not decided.race_labels.numel()
        first = [each for _, each in steps if each.stage is Phase.INITIALISE]
        after = first[6:]
        assert [each.round_in_stage for each in after] == [7, 8]
        assert all(each.notes["racing"] == 0 and each.notes["lead"] is None for each in after)
        assert all(("turned up" in each.terms) == stands_out for each in after)
        if stands_out:
            assert decided.label == record.notes["label"] == steps[-1][0].label
            assert not torch.equal(decided.mask, torch.full_like(decided.mask, 0.5))
            assert decided.optimizer_steps == 6
        else:
            assert decided.label is None
            assert torch.equal(decided.mask, torch.full_like(decided.mask, 0.5))
            assert bool((decided.selection == 1).all())


def test_a_label_far_ahead_is_held_to_in_every_phase_and_turned_up_by_less(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    seen = outer.TurnedUp

    def spy(label: int, amplification: float) -> outer.TurnedUp:
        asked.append(amplification)
        return seen(label, amplification)

    monkeypatch.setattr(stepper, "TurnedUp", spy)
    monkeypatch.setattr(race, "lead", lambda state: 0.5)
    for hold_lead, held in ((0.5, True), (0.51, False), (0.0, False)):
        asked.clear()
        config = replace(RACE, label_lead=0.4, hold_lead=hold_lead, held_amplification=0.75)
        steps = list(drive(IMS(config), make_subject(), IMS(config).init(make_subject())))
        after = [record for state, record in steps if state.race_over][1:]
        assert {record.stage for record in after} == set(Phase)
        assert all(("turned up" in each.terms) == (held or each.stage is Phase.INITIALISE) for each in after)
        assert asked[-1] == (0.75 if held else config.amplification)
        _, weightless = run_through(replace(config, weight_held=0.0), make_subject())
        assert all(("turned up" in each.terms) == (each.stage is Phase.INITIALISE) for each in weightless)
        assert asked[0] == config.amplification
        assert [record.notes["held"] for state, record in steps if state.race_over] == [held] * (len(after) + 1)
        assert not any(record.notes["held"] for state, record in steps if not state.race_over)
        tensors, numbers = pack_fields(steps[-2][0])
        assert IMS(config).step(make_subject(), unpack(tensors, numbers))[1] == steps[-1][1]
        del numbers["held"]
        # A run from before there was such a thing.
        assert unpack(tensors, numbers).held is False
    config = replace(RACE, label_lead=0.6, hold_lead=0.5)
    states = [state for state, _ in drive(IMS(config), make_subject(), IMS(config).init(make_subject()))]
    assert not any(state.held for state in states)


def test_among_few_images_no_label_is_held_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(race, "lead", lambda state: 3.0)
    subject = make_subject()
    for hold_images, held in ((len(subject.images), True), (len(subject.images) + 1, False)):
        config = replace(RACE, hold_lead=0.6, hold_images=hold_images)
        states = [state for state, _ in drive(IMS(config), subject, IMS(config).init(subject))]
        assert {state.held for state in states if state.race_over} == {held}
        assert states[-1].label is not None


def test_perturbations_and_those_that_people_see_are_led_to_a_label_held_to(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = []
    real = stepper.solve_inner

    def spy(*arguments: object) -> torch.Tensor:
        labels.append(arguments[-1])
        return real(*arguments)

    monkeypatch.setattr(stepper, "solve_inner", spy)
    # The images shown have perturbations of their own where the batch is shifted and each image has its own.
    defense, subject = IMS(replace(RACE, crop_padding=2, shared_cycles=0)), make_subject()
    for held, wanted in ((True, 2), (False, None)):
        labels.clear()
        state = replace(defense.init(subject).begin(Phase.MINIMISE), label=2, race_over=True, held=held)
        defense.step(subject, state)
        assert labels == [wanted, wanted]


@pytest.mark.parametrize("mirrors", [True, False])
def test_images_are_mirrored_only_where_they_keep_their_class(monkeypatch: pytest.MonkeyPatch, mirrors: bool) -> None:
    seen = []
    real = stepper.augment

    def spy(images: torch.Tensor, generator: torch.Generator, padding: int, flip: bool) -> torch.Tensor:
        seen.append(flip)
        return real(images, generator, padding, flip)

    monkeypatch.setattr(stepper, "augment", spy)
    defense, subject = IMS(replace(RACE, crop_padding=2)), replace(make_subject(), mirrors=mirrors)
    defense.step(subject, defense.init(subject))
    assert set(seen) == {mirrors}


def test_the_last_record_of_a_race_counts_the_masks_that_are_kept() -> None:
    config = replace(RACE, label_lead=20, outer_learning_rate=0.2)
    subject, defense = make_subject(), IMS(config)
    records = [record for _, record in drive(defense, subject, defense.init(subject))]
    assert records[4].counts["selected"] > 0
    assert (records[5].counts["selected"], records[5].counts["pruned"], records[5].counts["inverse_cut"]) == (0, 0, 0)


@pytest.mark.parametrize("changes", [{"amplification": 0}, {"label_rounds": 8}], ids=str)
def test_no_labels_race_without_amplification_or_rounds_to_go_on(changes: dict[str, int]) -> None:
    _, records = run_through(replace(RACE, **changes), make_subject())
    assert all(record.notes["racing"] == 0 and record.notes["label"] is None for record in records)


def test_no_phase_ends_before_its_race_is_decided() -> None:
    # Progress that no round can make.
    config = replace(RACE, rounds_initialise=20, label_lead=20, patience=1, progress_ratio=0.5)
    _, records = run_through(config, make_subject())
    first = [record for record in records if record.stage is Phase.INITIALISE]
    assert [record.notes["racing"] > 0 for record in first] == [True] * 6 + [False] * 3
    assert first[-1].stage_ended == "no progress in 2 rounds"


def test_what_is_kept_counts_by_how_sure_the_reference_is() -> None:
    reference = torch.tensor([[0.9, 0.1], [0.55, 0.45], [0.2, 0.8]])
    same, one_off = reference.flip(1).flip(1), torch.tensor([[0.9, 0.1], [0.1, 0.9], [0.2, 0.8]])
    assert outer.kept(same, reference) == 1
    assert outer.kept(one_off, reference) == pytest.approx((0.9 + 0.45 + 0.8) / (0.9 + 0.55 + 0.8))


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
    config = preset(name, **SHORT, batch_size=4)
    _, once = run_through(config, make_subject())
    _, again = run_through(config, make_subject())
    _, other = run_through(replace(config, seed=9), make_subject())
    assert once == again
    assert once != other


@pytest.mark.parametrize("name", list(PRESETS))
def test_states_survive_packing_between_any_two_rounds(name: str) -> None:
    subject, defense = make_subject(), IMS(preset(name, **SHORT, batch_size=4))
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
    with pytest.raises(UserError, match=r"At least one phase needs a round\."):
        IMSConfig(rounds_initialise=0, rounds_minimise=0, rounds_sparsify=0)
    for phase in ("initialise", "minimise", "sparsify"):
        others = {f"rounds_{each}": 0 for each in ("initialise", "minimise", "sparsify") if each != phase}
        assert sum(map(IMSConfig(**others).rounds, Phase)) == IMSConfig().rounds(Phase(phase))


class OneIdleChannel(nn.Module):
    """A network in which nothing listens to the first of four channels."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.features = nn.Conv2d(3, 4, 3)
        self.head = nn.Linear(4, 3)
        nn.init.normal_(self.head.weight, std=20)
        with torch.no_grad():
            self.head.weight[:, 0] = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(x).mean((2, 3)))


def test_pressure_cuts_what_clean_answers_do_not_need() -> None:
    model = OneIdleChannel().eval().requires_grad_(False)
    subject = Subject(model, torch.rand(30, 3, 8, 8), 3)
    defense = IMS(preset("default", sparsity_weight=0.01, rounds_initialise=60, crop_padding=0))
    state = defense.init(subject)
    assert torch.equal(defense.masks(state).gate(View.PRUNED), torch.ones(4))
    state = list(drive(defense, subject, state, 60))[-1][0]
    gate = defense.masks(state).gate(View.PRUNED)
    assert float(gate[0]) < 0.1
    assert float(gate[1:].max()) > 0.9


def test_augmentation_draws_anew_and_keeps_the_shown_images_plain() -> None:
    subject = make_subject()
    changes = {"rounds_initialise": 0, "inner_steps": 1, "inner_learning_rate": 0.004, "shared_cycles": 0}
    defense = IMS(preset("default", **changes))
    (first, _), (second, _) = drive(defense, subject, defense.init(subject), 2)
    assert not torch.equal(first.generator, second.generator)
    # One AdamW step moves a pixel by the learning rate at most, so what is shown differs from the image by that.
    assert float(first.example_perturbations.abs().max()) <= 0.0041
    assert first.example_indices.tolist() == list(range(6))


def test_a_shared_perturbation_is_one_smooth_picture_for_all_images() -> None:
    subject = make_subject()
    defense = IMS(preset("default", rounds_initialise=0, shared_cycles=1))
    ((state, _),) = drive(defense, subject, defense.init(subject), 1)
    shown = state.example_perturbations
    assert torch.equal(shown, shown[:1].expand_as(shown))
    waves = torch.fft.fft2(shown[0]).abs()
    assert float(waves[:, 2:-1, 2:-1].max()) < 1e-4 < float(waves[:, :2, :2].max())


class Bright(nn.Module):
    """Answers label 1 to images brighter than 0.3 in the mean, else label 0."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 1, 1)
        nn.init.constant_(self.conv.weight, 100.0)
        nn.init.constant_(self.conv.bias, -90.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        brightness = self.conv(x).mean((2, 3))
        return torch.cat([-brightness, brightness], 1)


@pytest.mark.parametrize(("share", "strength"), [(1.0, 7 / 8), (0.9, 3 / 8), (0.8, 1 / 8)])
def test_a_perturbation_is_made_as_weak_as_keeps_the_flips(share: float, strength: float) -> None:
    """Of ten images one needs seven eighths of it to change its answer, one three, and eight hardly any."""
    needed = torch.tensor([0.86, 0.36, *[0.01] * 8]) * 0.4
    images = (0.3 - needed).view(-1, 1, 1, 1).expand(-1, 3, 4, 4)
    subject = Subject(Bright().eval().requires_grad_(False), images, 2)
    reference = subject.answers(subject.reference, images)
    whole = torch.full_like(images, 0.4)
    torch.testing.assert_close(weakened(subject, images, reference, whole, share), whole * strength)
    without = torch.full_like(images, -0.1)
    assert torch.equal(weakened(subject, images, reference, without, share), without)


def test_a_new_run_answers_as_the_original_wherever_the_mask_starts() -> None:
    subject = make_subject()
    for name in PRESETS:
        masks = IMS(preset(name)).masks(IMS(preset(name)).init(subject))
        for view in View:
            assert torch.equal(masks.gate(view), torch.ones(len(masks.mask)))
