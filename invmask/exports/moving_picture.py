"""The replay of a run as a moving picture for slides: GIF or WebP, a picture a round, below a size."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from invmask.data.budget import clean_budget
from invmask.defenses.verdict import verdict_words
from invmask.errors import UserError
from invmask.exports.replay.bounds import fitting
from invmask.figures.channels import cell_places, map_scale
from invmask.figures.palette import GRID, GROUND, NEUTRAL, TEXT, VIEW_COLOURS, VIEW_TITLES, VIEW_WORD_COLOURS
from invmask.figures.ramps import colour_at
from invmask.figures.stage_map import stage_columns
from invmask.figures.triggers import trigger_tiles
from invmask.frames.candidates import search_cards
from invmask.frames.frame import stage_titles
from invmask.frames.run_records import RunRecords
from invmask.measure.metrics import Measures
from invmask.runs.store import files
from invmask.runs.store.records import verdict

FORMATS = {".gif": "GIF", ".webp": "WEBP"}
SIZE = (960, 540)
MOST_PICTURES, MOST_BYTES = 60, 8_000_000
ROUND_MS, LAST_MS = 350, 3_000
_LEFT, _RIGHT, _SPLIT = 24, 936, 590
_BELOW = 240
_TILE, _EXAMPLES = 58, 4
_QUANTITIES = {"selection": "dark is selected", "pruned": "dark is cut in the pruned view"}
_INK, _GREY = TEXT["light"], NEUTRAL["light"]


def write_moving_picture(path: Path, records: RunRecords) -> int:
    """Write the moving picture; its ending, .gif or .webp, says which kind. Returns the number of pictures.

    Long runs are thinned evenly to `MOST_PICTURES`, and further until the file has at most `MOST_BYTES`.

    Args:
        records: a run at its latest round.

    Raises:
        UserError: another ending.
        OSError: the file cannot be written.
    """
    if path.suffix not in FORMATS:
        raise UserError(f"A moving picture ends in {' or '.join(FORMATS)}, not in '{path.suffix[-20:]}'.")
    rounds = fitting({number: number for number in range(records.frame.last + 1)}, lambda _: 1, MOST_PICTURES)
    pictures = {number: draw_round(records, number) for number in rounds}
    while len(made := _encoded(list(pictures.values()), FORMATS[path.suffix])) > MOST_BYTES and len(pictures) > 1:
        pictures = fitting(pictures, lambda _: 1, (len(pictures) + 1) // 2)
    files.write_bytes(path, made)
    return len(pictures)


def _encoded(pictures: list[Image.Image], kind: str) -> bytes:
    buffer = io.BytesIO()
    stay = [ROUND_MS] * (len(pictures) - 1) + [LAST_MS]
    first, *others = pictures
    options = {"quality": 80, "method": 4} if kind == "WEBP" else {"optimize": True}
    first.save(buffer, kind, save_all=True, append_images=others, duration=stay, loop=0, **options)
    return buffer.getvalue()


def draw_round(records: RunRecords, number: int) -> Image.Image:
    """The picture of one round, `SIZE` pixels, on a light ground."""
    frame = records.frame
    page = Image.new("RGB", SIZE, GROUND["light"])
    pen = ImageDraw.Draw(page)
    _head(pen, records, number)
    views = frame.entries[number - 1].views.present() if number else {}
    assert frame.summary.original is not None
    width = (_RIGHT - _LEFT - 12 * (len(frame.repair_views) - 1)) // len(frame.repair_views)
    for place, view in enumerate(frame.repair_views):
        _card(pen, _LEFT + place * (width + 12), width, view.value, views.get(view, frame.summary.original))
    if frame.capabilities.channels:
        _map(pen, records, number)
    _triggers(page, pen, records, number)
    return page


def _letters(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _head(pen: ImageDraw.ImageDraw, records: RunRecords, number: int) -> None:
    frame, summary = records.frame, records.frame.summary
    title = summary.name or f"{frame.defense.title} on {summary.spec.victim}"
    pen.text((_LEFT, 14), title[:70], _INK, _letters(24))
    stage = "Before the first round"
    if number:
        stage = stage_titles(frame.defense)[frame.entries[number - 1].record.stage][0]
    words = f"{stage} · round {number:,} of {frame.last:,}" if number else stage
    told = verdict(summary, frame.entries) if number == frame.last and not frame.searching else None
    if told is not None:
        words += f" · {verdict_words(told, records.classes)}"
    pen.text((_LEFT, 50), words, _INK, _letters(18))
    pen.rectangle((_LEFT, 80, _RIGHT, 86), GRID["light"])
    pen.rectangle((_LEFT, 80, _LEFT + (_RIGHT - _LEFT) * number / max(1, frame.last), 86), VIEW_COLOURS["pruned"])


def _card(pen: ImageDraw.ImageDraw, left: int, width: int, view: str, measures: Measures) -> None:
    top = 102
    pen.rounded_rectangle((left, top, left + width, top + 112), 6, outline=GRID["light"], width=1)
    pen.rectangle((left, top, left + width, top + 4), VIEW_COLOURS[view])
    pen.text((left + 12, top + 12), VIEW_TITLES[view], VIEW_WORD_COLOURS[view], _letters(18))
    known = [name for name in ("acc", "asr", "ra") if getattr(measures, name) is not None]
    for place, name in enumerate(known):
        x = left + 12 + place * (width - 20) / 3
        pen.text((x, top + 42), name.upper(), _GREY, _letters(14))
        pen.text((x, top + 62), f"{100 * getattr(measures, name):.1f}", _INK, _letters(30))
    pen.text((left + width - 12, top + 14), "in per cent", _GREY, _letters(13), anchor="ra")


def _map(pen: ImageDraw.ImageDraw, records: RunRecords, number: int) -> None:
    """All channels by layer, coloured by the first quantity that the defence has."""
    frame, layout = records.frame, records.run.layout()
    assert layout is not None
    quantity = frame.quantities[0]
    masks = records.run.masks_at(number)
    values = 1 - masks.selection.numpy() if quantity == "selection" else masks.gate(frame.repair_views[1]).numpy()
    # Pillow's own font has no letters beside the plain ones: no minus, no cross.
    pen.text((_LEFT, _BELOW - 8), f"All channels by layer: {_QUANTITIES[quantity]}", _INK, _letters(16))
    columns = stage_columns(layout.layers)
    x, y, _, bottom = cell_places(layout.layers, columns)
    across, down = (_SPLIT - _LEFT - 24) / columns, (SIZE[1] - _BELOW - 34) / bottom
    scale = map_scale(quantity, "light")
    table = [tuple(round(255 * part) for part in colour_at(step / 50, scale)) for step in range(51)]
    gap = 1 if min(across, down) >= 4 else 0
    for column, row, value in zip(x, y, values, strict=True):
        left, top = _LEFT + column * across, _BELOW + 20 + row * down
        box = (left, top, left + max(1.0, across - 1 - gap), top + max(1.0, down - 1 - gap))
        pen.rectangle(box, table[round(50 * float(np.clip(value, 0, 1)))])


def _triggers(page: Image.Image, pen: ImageDraw.ImageDraw, records: RunRecords, number: int) -> None:
    """The search's candidates of the round, or its perturbations."""
    frame = records.frame
    entry = frame.entries[number - 1] if number else None
    pen.text((_SPLIT, _BELOW - 8), "Synthesized triggers", _INK, _letters(16))
    stored = records.run.examples_at(number) if entry is not None and entry.record.synthesis is not None else None
    if stored is not None:
        spec = frame.summary.spec
        budget = clean_budget(records.victim.card.dataset, spec.spc, spec.seed).take(stored.indices[:_EXAMPLES])
        clean = budget.pixels.transpose(0, 3, 1, 2).astype(np.float32) / 255
        tiles = trigger_tiles(clean, stored.perturbations[:_EXAMPLES])
        pen.text((_RIGHT, _BELOW - 5), f"perturbation amplified {tiles.factor} times", _GREY, _letters(13), anchor="ra")
        said = stored.probabilities[:, :_EXAMPLES].argmax(2)
        for row, label in enumerate(budget.labels):
            top = _BELOW + 20 + row * (_TILE + 10)
            for column, kind in enumerate((tiles.clean, tiles.perturbation, tiles.perturbed)):
                _paste(page, kind[row], _SPLIT + column * (_TILE + 6), top)
            left = _SPLIT + 3 * (_TILE + 6) + 6
            pen.text((left, top), records.classes[label][:18], _INK, _letters(14))
            for line, view in enumerate(frame.repair_views):
                words = f"{VIEW_TITLES[view]}: {records.classes[said[line, row]]}"[:24]
                pen.text((left, top + 15 * (line + 1)), words, VIEW_WORD_COLOURS[view], _letters(13))
        return
    found = search_cards(replace(frame, round=number), records.classes) if frame.capabilities.searches else None
    if found is None or entry is None or entry.record.stage != frame.defense.stages[0].name:
        pen.text((_SPLIT, _BELOW + 24), "None in this round.", _GREY, _letters(15))
        return
    for place, card in enumerate(found.cards[:12]):
        left, top = _SPLIT + place % 4 * 88, _BELOW + 20 + place // 4 * 92
        _paste(page, card.portrait, left, top)
        pen.text((left, top + _TILE + 3), card.title[:11], _INK, _letters(13))


def _paste(page: Image.Image, pixels: np.ndarray, left: int, top: int) -> None:
    """A tiny picture, uint8 [H, W, C], enlarged without smoothing."""
    tile = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else np.ascontiguousarray(pixels)).convert("RGB")
    page.paste(tile.resize((_TILE, _TILE), Image.Resampling.NEAREST), (left, top))
