"""What decides the questions of the lessons: numbers and words from the learner's own run, or the victim's card."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from invmask.defenses.family_texts import FAMILY_WORDS
from invmask.defenses.verdict import regression, verdict_words
from invmask.evidence.rankings import cut_counts
from invmask.frames.channels import channel_name
from invmask.masks.state import View
from invmask.measure.metrics import Measures
from invmask.runs.store.records import RunResult, Views, verdict
from invmask.ui.lesson.situation import Situation, built_in_run
from invmask.ui.neurons import channel_data
from invmask.ui.neurons.channel_data import Base
from invmask.ui.neurons.neurons_choice import TOP, Decided
from invmask.ui.parts.samples import percent
from invmask.ui.shell import cache, model_answers
from invmask.ui.shell.names import count

LOW_ASR = 0.1
FIRST_FEW = 10
_BY_HAND = Decided((), ())


@dataclass(frozen=True)
class Fact:
    """What decides a question.

    Attributes:
        value: a number (shares in per cent) or a word.
        words: what `{name}` stands for in the explanation.
    """

    value: float | str
    words: Mapping[str, str]


def fact_of(situation: Situation) -> Fact | None:
    """The fact of the situation's step; None if the run has not decided it yet.

    Raises:
        UserError: the run, or the victim, cannot be read.
    """
    return FACTS[situation.step.fact](situation)


def _victim_asr(situation: Situation) -> Fact | None:
    card = situation.card
    return None if card.asr is None else Fact(100 * card.asr, {"asr": percent(card.asr), "acc": percent(card.acc)})


def _pixels_changed(situation: Situation) -> Fact | None:
    card = situation.card
    places = model_answers.draw(card, None, 0, 1)
    found = model_answers.clean_and_triggered(card.name, cache.victim_stamp(card.name), places)
    if found.triggered is None:
        return None
    changed = (found.clean != found.triggered).any(-1)
    share = float(changed.mean())
    return Fact(100 * share, {"pixels": percent(share), "all_pixels": count(changed[0].size)})


def _late_cuts(situation: Situation) -> Fact | None:
    run = situation.run
    if run is None or not run.round:
        return None
    directory = cache.store().run(run.id)
    layout, masks = directory.layout(), directory.masks_at(run.round)
    assert layout is not None
    cut = (masks.gate(View.PRUNED) < channel_data.CUT_BELOW).numpy()
    by_layer = [int(cut[layer.slice].sum()) for layer in layout.layers]
    total, late = sum(by_layer), sum(by_layer[len(by_layer) // 2 :])
    if not total:
        return None
    most = layout.layers[int(np.argmax(by_layer))]
    words = {
        "cuts": count(total),
        "late": count(late),
        "layer": channel_name(layout.layers, most.offset).rpartition(":")[0],
    }
    return Fact(100 * late / total, words)


def top_channels(situation: Situation) -> list[int] | None:
    """The channels with a score above 0 at the end of the situation's run, the highest first; None without rounds."""
    run = situation.run
    if run is None or not run.round:
        return None
    stamp = cache.victim_stamp(situation.card.name)
    found = channel_data.channels_at(run.id, run.round, stamp, situation.card.targets is not None)
    return found.first_by("score")


def _with_first_cut(situation: Situation, first: list[int], number: int) -> Measures:
    run = situation.run
    assert run is not None
    return channel_data.what_if(run.id, run.round, Base(TOP, tuple(first[:number])), _BY_HAND).base


def _one_channel_cut(situation: Situation) -> Fact | None:
    first = top_channels(situation)
    if not first or situation.run is None:
        return None
    layout = cache.store().run(situation.run.id).layout()
    assert layout is not None
    none, one, ten = (_with_first_cut(situation, first, n).asr for n in (0, 1, FIRST_FEW))
    if one is None:
        return None
    name = channel_name(layout.layers, first[0])
    return Fact(100 * one, {"name": name, "one": percent(one), "ten": percent(ten), "none": percent(none)})


def _search_label(situation: Situation) -> Fact | None:
    if not situation.stage_is_over("search"):
        return None
    notes, classes = situation.of_stage("search")[-1].record.notes, situation.card.dataset_info.classes
    label, lead = int(notes["label"]), float(notes["lead"])
    return Fact(str(label), {"label": classes[label], "lead": f"{lead:.1f}", "times": f"{math.exp(lead):.1f}"})


def _search_family(situation: Situation) -> Fact | None:
    if not situation.stage_is_over("search"):
        return None
    notes = situation.of_stage("search")[-1].record.notes
    family, leads = str(notes["family"]), dict(notes["leads"])
    others = ", ".join(
        f"{FAMILY_WORDS[name].title.lower()} {lead:.1f}" for name, lead in leads.items() if name != family
    )
    words = {
        "family": FAMILY_WORDS[family].title.lower(),
        "lead": f"{leads[family]:.1f}",
        "others": others or "not tried",
    }
    return Fact(family, words)


def _asr_after_minimise(situation: Situation) -> Fact | None:
    if not situation.stage_is_over("minimise"):
        return None
    entry = situation.of_stage("minimise")[-1]
    pruned, before = entry.views.defended, entry.views.original
    if pruned.asr is None:
        return None
    words = {"round": count(entry.record.round), "asr": percent(pruned.asr), "acc": percent(pruned.acc)}
    return Fact(100 * pruned.asr, words | {"before": percent(before.asr)})


def _inverse_acc_at_end(situation: Situation) -> Fact | None:
    if not situation.stage_is_over("sparsify"):
        return None
    entry = situation.of_stage("sparsify")[-1]
    inverse, counts = entry.views.inverse, entry.record.counts
    if inverse is None:
        return None
    words = {"acc": percent(inverse.acc), "asr": percent(inverse.asr), "channels": count(counts["channels"])}
    return Fact(100 * inverse.acc, words | {"selected": count(counts["selected"]), "cut": count(counts["pruned"])})


def _views(situation: Situation) -> Views | None:
    """The run's latest measures: those of its result, or else of its last round."""
    if situation.run is None or not situation.entries:
        return None
    return situation.entries[-1].views if situation.run.result is None else situation.run.result.views


def _pruned_ra(situation: Situation) -> Fact | None:
    views = _views(situation)
    if views is None or views.pruned is None or views.pruned.ra is None or views.inverse is None:
        return None
    words = {
        "ra": percent(views.pruned.ra),
        "before": percent(views.original.ra),
        "inverse": percent(views.inverse.asr),
    }
    return Fact(100 * views.pruned.ra, words)


def _channels_needed(situation: Situation) -> Fact | None:
    first = top_channels(situation)
    if not first:
        return None
    before = _with_first_cut(situation, first, 0)
    # The numbers of channels that the slider on Neurons offers.
    for number in cut_counts(len(first))[1:]:
        found = _with_first_cut(situation, first, number)
        if found.asr is not None and found.asr < LOW_ASR:
            words = {"n": count(number), "asr": percent(found.asr), "before": percent(before.asr)}
            return Fact(number, words | {"acc": percent(found.acc), "acc_before": percent(before.acc)})
    return None


def _result(situation: Situation) -> RunResult | None:
    return None if situation.run is None else situation.run.result


def _asr_at_end(situation: Situation) -> Fact | None:
    result, usual = _result(situation), built_in_run(situation.card.name)
    if result is None or situation.run is None or result.views.defended.asr is None:
        return None
    found, other = result.views.defended, None if usual is None else cache.summary(usual).result
    asr10, acc10 = (None, None) if other is None else (other.views.defended.asr, other.views.defended.acc)
    words = {"spc": str(situation.run.spec.spc), "asr": percent(found.asr), "acc": percent(found.acc)}
    words |= {"ra": percent(found.ra), "asr10": percent(asr10), "acc10": percent(acc10)}
    return Fact(100 * result.views.defended.asr, words)


def _verdict(situation: Situation) -> Fact | None:
    if situation.run is None or (told := verdict(situation.run, situation.entries)) is None:
        return None
    known = regression()
    words = {"words": verdict_words(told, situation.card.dataset_info.classes)}
    return Fact(told.word, words | {"accused": str(known.accused), "missed": str(known.missed)})


FACTS: Mapping[str, Callable[[Situation], Fact | None]] = {
    "victim_asr": _victim_asr,
    "pixels_changed": _pixels_changed,
    "late_cuts": _late_cuts,
    "one_channel_cut": _one_channel_cut,
    "search_label": _search_label,
    "search_family": _search_family,
    "asr_after_minimise": _asr_after_minimise,
    "inverse_acc_at_end": _inverse_acc_at_end,
    "pruned_ra": _pruned_ra,
    "channels_needed": _channels_needed,
    "asr_at_end": _asr_at_end,
    "verdict": _verdict,
}
