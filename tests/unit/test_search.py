"""The search of IMS: its rounds, what it drops, when it ends, and what the masks then learn against."""

import json
import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from invmask.defenses.base import Record, Searching, Subject, drive
from invmask.defenses.families import FAMILIES, ON_IMAGES
from invmask.defenses.ims import search
from invmask.defenses.ims.config import IMSConfig, Phase, preset
from invmask.defenses.ims.search import (
    Hypothesis,
    Search,
    cut_label,
    hypotheses,
    original,
    pruned,
    rounds_each,
    sharpened,
    standing_out,
    triggered,
)
from invmask.defenses.ims.state import IMSState
from invmask.defenses.ims.stepper import IMS
from invmask.defenses.inversion import Inversion

SHAPE, LABELS = (3, 6, 6), 12
CONFIG = preset("default", rounds_search=32, search_steps=1, search_images=6, rounds_minimise=2, rounds_sparsify=1)


class Tiny(nn.Module):
    """A convolution and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 6, 3)
        self.head = nn.Linear(6 * 16, LABELS)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).flatten(1))


def make_subject(images: int = 8) -> Subject:
    torch.manual_seed(3)
    model = Tiny().eval().requires_grad_(False)
    model.head.weight.mul_(10)
    return Subject(model, torch.rand(images, *SHAPE), LABELS)


def searched(config: IMSConfig, subject: Subject | None = None) -> list[tuple[IMSState, Record]]:
    """The rounds of the search."""
    subject, defense = subject or make_subject(), IMS(config)
    steps = list(drive(defense, subject, defense.init(subject), config.rounds_search))
    return [step for step in steps if step[1].stage == Phase.SEARCH]


def found_of(family: str, sizes: list[float]) -> Inversion:
    """As if these were the sizes of the smallest triggers of the labels."""
    subject, generator = make_subject(), torch.Generator().manual_seed(1)
    start = Inversion.start(FAMILIES[family], len(sizes), original(subject), generator, subject.images)
    smallest_size = torch.tensor(sizes, dtype=torch.float32)
    return replace(
        start,
        size=0 * smallest_size.nan_to_num(0, 0, 0) + 7,
        smallest=start.numbers + 0.1,
        smallest_size=smallest_size,
        steps=9,
    )


def test_every_family_has_a_quarter_of_the_rounds_and_drops_most_labels_on_the_way() -> None:
    steps = searched(replace(CONFIG, clear_lead=20))
    assert [record.round_in_stage for _, record in steps] == list(range(1, 33))
    families = [state.search.family for state, _ in steps]
    assert families == ["patch"] * 8 + ["smooth"] * 8 + ["warp"] * 8 + ["channels"] * 8
    assert [state.search.rounds for state, _ in steps] == [*range(1, 9)] * 4
    # A third of 12 labels after the third round, a fifth after the sixth.
    left = [len(state.search.inversions[family].searched) for (state, _), family in zip(steps, families, strict=True)]
    assert left == [12, 12, 4, 4, 4, 3, 3, 3] * 4
    assert [state.search.inversions["patch"].steps for state, _ in steps] == [*range(1, 9)] + [8] * 24
    assert all(record.stage_ended is None for _, record in steps[:-1])
    assert steps[-1][1].stage_ended == "no label stands out"
    assert steps[-1][0].phase is Phase.MINIMISE


def test_the_best_labels_stay() -> None:
    (before, _), (after, _) = searched(replace(CONFIG, clear_lead=20))[1:3]
    kept = after.search.inversions["patch"]
    # What the third round would have said of all.
    every = replace(kept, searched=torch.arange(LABELS))
    assert kept.searched.tolist() == every.order()[:4].sort().values.tolist()
    assert before.search.inversions["patch"].searched.tolist() == list(range(LABELS))


def test_of_few_labels_four_and_then_two_stay() -> None:
    subject = make_subject()
    few = replace(subject, model=_fewer(subject.model, 5), num_classes=5)
    steps = searched(replace(CONFIG, clear_lead=20), few)
    left = [len(state.search.inversions["patch"].searched) for state, _ in steps[:8]]
    assert left == [5, 5, 4, 4, 4, 2, 2, 2]


def _fewer(model: nn.Module, labels: int) -> nn.Module:
    assert isinstance(model, Tiny)
    model.head = nn.Linear(6 * 16, labels).requires_grad_(False)
    return model


def test_every_step_looks_at_so_many_images_drawn_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    real = search.advance

    def spy(inversion: Inversion, family: object, network: object, images: Tensor, *rest: object) -> Inversion:
        seen.append(images)
        return real(inversion, family, network, images, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(search, "advance", spy)
    subject, defense = make_subject(), IMS(replace(CONFIG, search_steps=3))
    list(drive(defense, subject, defense.init(subject), 2))
    assert [len(images) for images in seen] == [6] * 6
    assert not torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[2], seen[3])


def test_a_plain_lead_ends_the_search_after_its_family(monkeypatch: pytest.MonkeyPatch) -> None:
    leads = {"patch": 0.5, "smooth": 1.9, "warp": 0.1, "channels": 0.2}
    monkeypatch.setattr(Search, "leads", lambda self: {name: leads[name] for name in self.inversions})
    steps = searched(replace(CONFIG, clear_lead=0.6))
    assert [state.search.family for state, _ in steps] == ["patch"] * 8 + ["smooth"] * 8
    state, record = steps[-1]
    label = int(state.search.inversions["smooth"].order()[0])
    assert record.stage_ended == f"label {label} stands out by 1.90 nats"
    assert {name: record.notes[name] for name in ("label", "lead", "family", "stands out")} == {
        "label": label,
        "lead": 1.9,
        "family": "smooth",
        "stands out": True,
    }
    assert state.phase is Phase.MINIMISE
    assert [(each.family, each.label) for each in state.hypotheses] == [("smooth", label)]
    # Not three times what is asked for: the others are looked at, too.
    assert len(searched(replace(CONFIG, clear_lead=0.64))) == 32
    # Nothing is plain where nothing is asked for.
    assert len(searched(replace(CONFIG, clear_lead=0))) == 32


def test_no_search_no_hypotheses() -> None:
    subject, defense = make_subject(), IMS(replace(CONFIG, rounds_search=0, inner_steps=1))
    start = defense.init(subject)
    assert start.phase is Phase.MINIMISE
    assert defense.candidates(subject, start) is None
    (state, record) = defense.step(subject, start)
    assert state.hypotheses == ()
    assert "lead" not in record.notes


def test_the_masks_do_not_move_while_the_search_goes_on() -> None:
    subject, defense = make_subject(), IMS(CONFIG)
    start = defense.init(subject)
    for state, record in searched(CONFIG, subject):
        assert torch.equal(state.mask, start.mask)
        assert torch.equal(state.selection, start.selection)
        assert record.synthesis is None
        assert set(record.terms) == {"led"}
        assert record.total == record.terms["led"]
        assert (state.hypotheses != ()) == (record.stage_ended is not None)


def test_what_stands_out_is_the_family_with_the_largest_lead() -> None:
    found = Search({"patch": found_of("patch", [6, 4, 5]), "smooth": found_of("smooth", [30, 20, 5])}, 8)
    assert found.leads() == {
        "patch": pytest.approx(math.log(5 / 4), rel=1e-6),
        "smooth": pytest.approx(math.log(4), rel=1e-6),
    }
    assert standing_out(found, replace(CONFIG, clear_lead=1.3)) == ("smooth", 2, pytest.approx(math.log(4), rel=1e-6))
    assert standing_out(found, replace(CONFIG, clear_lead=1.4)) is None
    assert standing_out(Search(), CONFIG) is None


def test_the_mask_learns_against_the_label_that_stands_out_in_every_family_that_says_so() -> None:
    patch, smooth = found_of("patch", [6, 4, 2]), found_of("smooth", [30, 20, 5])
    found = Search({"patch": patch, "smooth": smooth, "warp": found_of("warp", [1, 4, 4])}, 8)
    first, second = hypotheses(found, replace(CONFIG, clear_lead=0.6))
    assert [(each.family, each.label) for each in (first, second)] == [("patch", 2), ("smooth", 2)]
    assert torch.equal(first.found, patch.smallest[2:])
    assert torch.equal(first.kept_up.numbers, first.found)
    # Four fifths of the way to twice, and to four times as large; where the next one is far away, 1.5 nats.
    assert first.largest == pytest.approx(2 * 2**0.8, rel=1e-5)
    assert second.largest == pytest.approx(5 * 4**0.8, rel=1e-5)
    (far,) = hypotheses(Search({"patch": found_of("patch", [60, 40, 2])}, 8), CONFIG)
    assert far.largest == pytest.approx(2 * math.exp(1.5), rel=1e-5)
    (only,) = hypotheses(found, replace(CONFIG, clear_lead=0.8))
    assert (only.family, only.label) == ("smooth", 2)


def test_a_label_that_only_channels_tell_is_learned_against_with_its_smooth_trigger() -> None:
    smooth = replace(found_of("smooth", [30, 20, 25]), searched=torch.tensor([0, 1]))
    found = Search(
        {"patch": found_of("patch", [6, 5, 6]), "smooth": smooth, "channels": found_of("channels", [6, 5, 1])}, 8
    )
    (only,) = hypotheses(found, CONFIG)
    assert (only.family, only.label, only.lead) == ("smooth", 2, 0)
    assert torch.equal(only.found, smooth.smallest[2:])
    assert only.largest == 25
    assert cut_label(found, CONFIG) == 2


def test_what_is_cut_shall_lead_to_the_label_only_where_channels_tell_it() -> None:
    patch = found_of("patch", [6, 1, 6])
    for sizes, label in (([6.0, 1.0, 6.0], 1), ([6.0, 5.0, 6.0], None), ([2.0, 6.0, 6.0], None)):
        assert cut_label(Search({"patch": patch, "channels": found_of("channels", sizes)}, 8), CONFIG) == label
    assert cut_label(Search({"patch": patch}, 8), CONFIG) is None
    assert cut_label(Search({"channels": found_of("channels", [6, 5, 6])}, 8), CONFIG) is None


def test_without_a_label_that_stands_out_it_learns_against_the_label_ahead_in_every_family_that_has_led_to_it() -> None:
    smooth, warp = found_of("smooth", [20, 25, 22]), found_of("warp", [torch.inf] * 3)
    channels = found_of("channels", [6, 5, 5.5])
    families = {"patch": found_of("patch", [6, 5, 5.5]), "smooth": smooth, "warp": warp, "channels": channels}
    first, second = hypotheses(Search(families, 8), CONFIG)
    assert (first.family, first.label, first.lead) == ("patch", 1, pytest.approx(math.log(5.5 / 5), rel=1e-6))
    # Another label comes first in this family: its trigger for the label ahead has no lead.
    assert (second.family, second.label, second.lead) == ("smooth", 1, 0)
    assert torch.equal(second.found, smooth.smallest[1:2])
    assert second.largest == 25


def test_where_nothing_has_led_to_the_label_ahead_it_learns_against_the_smooth_trigger_at_hand() -> None:
    smooth = replace(found_of("smooth", [torch.inf] * 3), flips=torch.tensor([0.1, 0.5, 0.2]))
    families = {"patch": found_of("patch", [6, torch.inf, 6]), "smooth": smooth}
    (only,) = hypotheses(Search({**families, "channels": found_of("channels", [6, 5, 6])}, 8), CONFIG)
    assert (only.family, only.label, only.lead) == ("smooth", 1, 0)
    assert torch.equal(only.found, smooth.numbers[1:2])
    assert only.largest == 7


def test_without_a_label_that_stands_out_the_triggers_of_the_label_ahead_are_searched_on() -> None:
    subject, config = make_subject(), replace(CONFIG, clear_lead=9.0)
    state = searched(config, subject)[-1][0]
    answers, generator = state.reference.argmax(1), torch.Generator().manual_seed(0)
    made = hypotheses(state.search, config)
    after = sharpened(subject, state.search, made, answers, generator, config)
    for old, new, kept in zip(made, after, state.hypotheses, strict=True):
        told = [(each.family, each.label, each.lead, each.largest) for each in (old, new, kept)]
        assert told[0] == told[1] == told[2]
        for each in (new, kept):
            assert each.kept_up.smallest_size < old.kept_up.smallest_size
            assert torch.equal(each.found, each.kept_up.numbers)
    # Where a label stands out, nothing is done.
    assert sharpened(subject, state.search, made, answers, generator, replace(CONFIG, clear_lead=0.0)) is made


def test_a_lead_of_nothing_names_no_label_however_little_is_asked_for() -> None:
    anything = replace(CONFIG, clear_lead=0.0)
    assert standing_out(Search({"patch": found_of("patch", [torch.inf] * 3)}, 8), anything) is None
    assert standing_out(Search({"patch": found_of("patch", [5, 5, 5])}, 8), anything) is None
    clear = standing_out(Search({"patch": found_of("patch", [5, 5, 4])}, 8), anything)
    assert clear is not None
    assert clear[:2] == ("patch", 2)


def test_triggers_weigh_as_much_as_the_search_trusts_them() -> None:
    config = replace(CONFIG, clear_lead=0.6)

    def weight(lead: float) -> float:
        """Of agree(pruned(x+d), ref(x)) in the masks' loss."""
        found = Search({"patch": found_of("patch", [6, 1, math.exp(lead)]), "warp": found_of("warp", [5, 5, 5])}, 8)
        subject, defense = make_subject(), IMS(config)
        state = replace(defense.init(subject), search=found, hypotheses=hypotheses(found, config)).begin(Phase.MINIMISE)
        _, record = defense.step(subject, state)
        plain = replace(config, weight_pruned_perturbed=0.0)
        _, without = IMS(plain).step(subject, state)
        return (record.total - without.total) / record.terms["pruned perturbed"]

    assert weight(3.0) == pytest.approx(2, abs=1e-4)
    assert weight(0.81) == pytest.approx(2, abs=1e-4)
    assert weight(0.6) == pytest.approx(1.5, abs=1e-4)
    assert weight(0.3) == pytest.approx(0.75, abs=1e-4)
    assert weight(0.0) == pytest.approx(0.5, abs=1e-4)


@pytest.mark.parametrize(
    ("patch", "channels", "share"),
    [([6, 6, 1], [6, 6, 0.1], 1), ([6, 6, 5], [6, 6, 0.1], 0.04), ([6, 6, 5], [6, 6, 5], 1)],
    ids=["a trigger on images", "channels alone", "no label stands out"],
)
def test_the_inverse_view_is_pressed_less_where_no_trigger_on_images_is_known(
    patch: list[float], channels: list[float], share: float
) -> None:
    families = {"patch": found_of("patch", patch), "smooth": found_of("smooth", [6, 6, 6])}
    found = Search({**families, "channels": found_of("channels", channels)}, 8)
    config = replace(CONFIG, weight_inverse_clean=3.0)
    subject, defense = make_subject(), IMS(config)
    state = replace(defense.init(subject), search=found, hypotheses=hypotheses(found, config)).begin(Phase.MINIMISE)
    _, record = defense.step(subject, state)
    _, without = IMS(replace(config, weight_inverse_clean=0.0)).step(subject, state)
    weight = (record.total - without.total) / record.terms["inverse clean"]
    assert weight == pytest.approx(3 * share, rel=1e-3)


@pytest.mark.parametrize("searches", [True, False], ids=["after a search", "without one"])
def test_after_a_search_the_steps_of_the_last_phase_shrink(searches: bool) -> None:
    config = replace(CONFIG, rounds_sparsify=4, inner_steps=1)
    subject, defense = make_subject(), IMS(config)
    torch.manual_seed(2)
    before = defense.init(subject).begin(Phase.SPARSIFY)
    before = replace(before, mask=0.3 + 0.4 * torch.rand(6), selection=0.3 + 0.4 * torch.rand(6))
    if searches:
        found = Search({"patch": found_of("patch", [6, 1, 4])}, 8)
        before = replace(before, search=found, hypotheses=hypotheses(found, config))
    moved = []
    for state, _ in drive(defense, subject, before):
        moved.append(float((state.selection - before.selection).abs().max()))
        before = state
    # AdamW's first step of a phase is the rate itself, and no later one is much larger.
    rate = config.outer_learning_rate
    assert moved[0] == pytest.approx(rate, rel=0.02)
    shrunk = 1 - 0.9 * 3 / 4
    assert moved[3] < 1.1 * shrunk * rate if searches else moved[3] > 2 * shrunk * rate


def test_triggers_are_mended_against_the_pruned_view_towards_their_own_labels() -> None:
    subject = make_subject()
    found = Search({"patch": found_of("patch", [6.0] * 7 + [5.0])}, 8)
    led = pruned(subject, torch.rand(6, generator=torch.Generator().manual_seed(1)))
    (before,) = hypotheses(found, CONFIG)
    before = replace(before, largest=36.0)
    answers, config = torch.arange(len(subject.images)) % 3, replace(CONFIG, inner_steps=12)
    (after,) = search.kept_up(subject, (before,), led, answers, torch.Generator(), config)
    assert after.kept_up.steps == 12
    assert torch.equal(after.found, before.found)

    def told(numbers: Tensor) -> float:
        made = ON_IMAGES["patch"].put_on(numbers, subject.images)[0]
        return float(led.network(made).log_softmax(1)[:, 7].mean())

    assert told(after.kept_up.numbers) > told(before.kept_up.numbers) + 1


def test_gates_of_ones_own_come_on_top_of_the_views() -> None:
    subject, generator = make_subject(), torch.Generator().manual_seed(1)
    view, own = torch.rand(6, generator=generator), torch.rand(8, 6, generator=generator)

    def by_hand(gates: Tensor) -> Tensor:
        return subject.model.head((subject.model.features(subject.images) * gates[..., None, None]).flatten(1))

    torch.testing.assert_close(original(subject).network(subject.images), by_hand(torch.ones(6)))
    torch.testing.assert_close(original(subject).gated(subject.images, own), by_hand(own))
    torch.testing.assert_close(pruned(subject, view).network(subject.images), by_hand(view))
    torch.testing.assert_close(pruned(subject, view).gated(subject.images, own), by_hand(view * own))
    assert (original(subject).channels, original(subject).shape) == (6, SHAPE)


def test_the_triggers_go_round_the_images() -> None:
    def patch(value: float, place: int) -> Tensor:
        """One pixel of a colour."""
        numbers = torch.full((1, 4, 6, 6), -40.0)
        numbers[0, 0, 0, place] = 40
        numbers[0, 1:] = 80 * value - 40
        return numbers

    def hypothesis(place: int) -> Hypothesis:
        kept_up = replace(found_of("patch", [1.0]), numbers=patch(0, place))
        return Hypothesis("patch", 0, 1.0, 9.0, patch(1, place), kept_up)

    images = torch.full((6, *SHAPE), 0.5)
    made = triggered((hypothesis(0), hypothesis(1)), images)
    changed = [[(int(x), round(float(image[0, 0, x]))) for x in range(6) if image[0, 0, x] != 0.5] for image in made]
    assert changed == [[(0, 1)], [(0, 0)], [(1, 1)], [(1, 0)], [(0, 1)], [(0, 0)]]
    # Fewer images than triggers.
    assert torch.equal(triggered((hypothesis(0), hypothesis(1)), images[:1]), made[:1])


def test_a_search_of_a_round_a_family_looks_at_all_families() -> None:
    config = replace(CONFIG, rounds_search=4, clear_lead=20)
    assert rounds_each(config) == 1
    steps = searched(config)
    assert [state.search.family for state, _ in steps] == list(FAMILIES)
    assert [len(state.search.inversions[state.search.family or ""].searched) for state, _ in steps] == [3, 3, 3, 3]
    # One that may not begin with all of them ends all the same.
    (only,) = searched(replace(config, rounds_search=1))
    assert only[0].phase is Phase.MINIMISE
    assert [each.family for each in only[0].hypotheses] == ["patch"]


def test_a_run_that_searches_goes_on_bit_for_bit_from_any_round() -> None:
    config = replace(CONFIG, rounds_search=8, inner_steps=2, clear_lead=20)
    subject, defense = make_subject(), IMS(config)
    through, kept = defense.init(subject), defense.init(subject)
    stages = []
    while defense.done(through) is None:
        tensors, numbers = defense.pack(kept)
        again = defense.unpack(
            {name: tensor.clone() for name, tensor in tensors.items()}, json.loads(json.dumps(numbers))
        )
        assert defense.pack(again)[1] == numbers
        assert list(again.search.inversions) == list(kept.search.inversions)
        through, record = defense.step(subject, through)
        kept, of_kept = defense.step(subject, again)
        assert record == of_kept
        one, other = defense.pack(through), defense.pack(kept)
        assert one[1] == other[1]
        assert one[0].keys() == other[0].keys()
        assert all(torch.equal(one[0][name], other[0][name]) for name in one[0])
        stages.append(record.stage)
    assert stages == [Phase.SEARCH] * 8 + [Phase.MINIMISE] * 2 + [Phase.SPARSIFY]
    assert [each.family for each in through.hypotheses] == ["patch", "warp"]
    assert all(each.kept_up.steps == 6 for each in through.hypotheses)


def test_candidates_are_those_of_the_family_at_hand_in_the_rounds_of_the_search_alone() -> None:
    config = replace(CONFIG, rounds_search=8, inner_steps=1, clear_lead=20)
    subject, defense = make_subject(), IMS(config)
    assert isinstance(defense, Searching)
    assert defense.candidates(subject, defense.init(subject)) is None
    for state, record in drive(defense, subject, defense.init(subject)):
        seen = defense.candidates(subject, state)
        # None behind the last round of a later phase either, where the next one has not begun.
        assert (seen is not None) == (record.stage == Phase.SEARCH)
        if seen is None:
            continue
        assert seen.family == state.search.family
        assert seen.labels.tolist() == list(range(LABELS))
        assert seen.portraits.shape == (LABELS, *SHAPE)
        assert int(seen.searched.sum()) == len(state.search.inversions[seen.family].searched)


@pytest.mark.parametrize(("patch", "shown"), [([6.0, 5.0, 1.0], "patch"), ([6.0, 5.0, 6.0], "channels")], ids=str)
def test_the_search_ends_with_a_picture_of_the_trigger_where_there_is_one(patch: list[float], shown: str) -> None:
    families = {"patch": found_of("patch", patch), "smooth": found_of("smooth", [6, 6, 6])}
    families |= {"warp": found_of("warp", [6, 6, 6]), "channels": found_of("channels", [6, 6, 0.1])}
    found = Search(families, 8)
    subject, defense = make_subject(), IMS(CONFIG)
    state = replace(defense.init(subject).begin(Phase.MINIMISE), search=found, round=32)
    state = replace(state, hypotheses=hypotheses(found, CONFIG))
    seen = defense.candidates(subject, state)
    assert seen is not None
    assert (seen.family, seen.standing_out) == (shown, 2)
    assert defense.candidates(subject, replace(state, round=33)) is None
