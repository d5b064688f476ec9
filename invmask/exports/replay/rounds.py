"""What each round shows beside its measures: the search's cards, or the synthesized triggers."""

from dataclasses import replace
from typing import Any

import numpy as np

from invmask.data.budget import clean_budget
from invmask.exports.replay.bounds import fitting
from invmask.exports.replay.pictures import data_uri, small, strip
from invmask.figures.candidates import ENOUGH, Cards, lead_words, size_words, unit_words
from invmask.figures.rounds import thinned
from invmask.figures.triggers import trigger_tiles
from invmask.frames.candidates import search_cards
from invmask.frames.run_records import RunRecords

EXAMPLES = 4
"""Examples of synthesized triggers that a round shows, at most."""
MOST_SEARCH_BYTES = 900_000
MOST_TRIGGER_BYTES = 1_200_000
"""Bytes of all cards and of all examples with their pictures, at most."""


def search_rounds(records: RunRecords) -> dict[str, Any] | None:
    """The cards of the search's rounds, by round; None if the run has no search."""
    frame = records.frame
    if not frame.capabilities.searches:
        return None
    stage = frame.defense.stages[0].name
    numbers = [number for number, entry in enumerate(frame.entries, 1) if entry.record.stage == stage]
    found = {}
    for number in (numbers[place] for place in thinned(len(numbers))):
        cards = search_cards(replace(frame, round=number), records.classes)
        if cards is not None:
            found[number] = _search_round(cards)
    if not found:
        return None
    return {"rounds": fitting(found, _size, MOST_SEARCH_BYTES), "first": numbers[0], "last": numbers[-1]}


def _search_round(found: Cards) -> dict[str, Any]:
    best = next((card.title for card in found.cards if card.stands_out), None)
    return {
        "picture": data_uri(strip(small(np.stack([card.portrait for card in found.cards])))),
        "words": lead_words(found),
        "best": best,
        "reading": (
            f"One card a label, with the smallest {found.family.title} found for it. The bar is its size, "
            f"{found.family.measure}; a full bar is {found.full:,.4g}{unit_words(found.family)}. A short bar is "
            f"suspicious. A hollow bar says little yet: fewer than {100 * ENOUGH:.0f} % of the images are led there."
        ),
        "cards": [
            [
                card.title,
                size_words(card.size, found.family),
                round(found.share(card), 3),
                round(100 * card.flips),
                card.mark,
                int(card.tells),
            ]
            for card in found.cards
        ],
    }


def trigger_rounds(records: RunRecords) -> dict[str, Any] | None:
    """Examples of the synthesized triggers, by round; None if the run made none."""
    frame, spec = records.frame, records.frame.summary.spec
    if not frame.capabilities.triggers:
        return None
    budget, found, clean = clean_budget(records.victim.card.dataset, spec.spc, spec.seed), {}, {}
    numbers = [number for number, entry in enumerate(frame.entries, 1) if entry.record.synthesis is not None]
    for number in (numbers[place] for place in thinned(len(numbers))):
        stored = frame.run.examples_at(number)
        if stored is None:
            continue
        chosen = budget.take(stored.indices[:EXAMPLES])
        changes = stored.perturbations[:EXAMPLES]
        tiles = trigger_tiles(chosen.pixels.transpose(0, 3, 1, 2).astype(np.float32) / 255, changes)
        best = stored.probabilities[:, :EXAMPLES].argmax(2)
        sure = stored.probabilities[:, :EXAMPLES].max(2)
        places = list(map(int, stored.indices[:EXAMPLES]))
        for place, pixels in zip(places, small(chosen.pixels), strict=True):
            if place not in clean:
                clean[place] = data_uri(np.ascontiguousarray(pixels))
        found[number] = {
            "picture": data_uri(strip(small(tiles.perturbation), small(tiles.perturbed))),
            "clean": places,
            "labels": chosen.labels.tolist(),
            "answers": best.tolist(),
            "sure": np.round(100 * sure).astype(int).tolist(),
            "factor": tiles.factor,
            "largest": round(255 * float(tiles.largest.max()), 1),
        }
    if not found:
        return None
    kept = fitting(found, lambda of: _size(of) + sum(len(clean[place]) for place in of["clean"]), MOST_TRIGGER_BYTES)
    shown = {place for of in kept.values() for place in of["clean"]}
    pictures = {str(place): uri for place, uri in clean.items() if place in shown}
    return {"rounds": kept, "clean": pictures, "first": numbers[0], "last": numbers[-1]}


def _size(of: dict[str, Any]) -> int:
    return len(of["picture"]) + 60 * len(of.get("cards", ())) + 500
