"""Upper bounds for any mask: RA of a network that never saw the trigger, and of an oracle mask.

The trigger hides a part of the image, which bounds RA whatever is cut. The control is the embedded clean victim. The
oracle mask is learned on SPC 100 with the attack itself, which no defender has; the defence uses nothing of it:

    agree(pruned(x), ref(x)) + agree(pruned(trigger(x)), ref(x))

    python -m benchmarks.ceiling
"""

import json
from dataclasses import asdict, replace
from typing import Any

import torch
from torch import nn
from tqdm import trange

from benchmarks.quality import RESULTS as QUALITY
from benchmarks.quality import STEM
from invmask import settings
from invmask.augmentation import augment
from invmask.data.budget import clean_budget
from invmask.data.embedded import load_embedded
from invmask.defenses.ims.losses import agree
from invmask.machine import Precision, autocast, choose_precision, processor
from invmask.masks.attach import gated_logits
from invmask.masks.repair import Gates
from invmask.masks.state import MaskLayout, Masks, Sparsity, View
from invmask.runs.work.bench import ProbeImages, measure_views
from invmask.victims.victim import Victim, load_victim, versions

RESULTS = QUALITY.parent / "ceiling"
ROUNDS, BATCH, RATE = 300, 128, 0.05


def main() -> None:
    """Measure every embedded victim that has a trigger, and write one JSON each."""
    torch.set_num_threads(settings.threads())
    folders, precision = settings.victim_folders(), choose_precision("cpu")
    control = load_victim(f"{STEM}-clean", folders)
    RESULTS.mkdir(parents=True, exist_ok=True)
    for attack in ("badnets", "blended", "sig"):
        victim = load_victim(f"{STEM}-{attack}", folders)
        found = {
            "victim": victim.card.name,
            "control": as_control(control, victim, precision),
            "oracle": oracle(victim, precision),
            "rounds": ROUNDS,
            "precision": precision,
            "machine": processor("cpu"),
            "versions": versions(),
        }
        (RESULTS / f"{victim.card.name}.json").write_text(json.dumps(found, indent=1) + "\n")
        print(json.dumps(found["control"]), json.dumps(found["oracle"]))


def as_control(control: Victim, victim: Victim, precision: Precision) -> dict[str, Any]:
    """ACC, ASR and RA of the clean network on the triggered images of `victim`."""
    images = ProbeImages.of(load_embedded("cifar10", "test").images, victim)
    layout = MaskLayout.of(control.model)
    return measures(control.model, Masks.initial(layout), View.ORIGINAL, images, precision)


def measures(model: nn.Module, masks: Masks, view: View, images: ProbeImages, precision: Precision) -> dict[str, Any]:
    """ACC, ASR and RA of a view, and its ACC on the clean versions of the triggered images."""
    others = images.attacked
    same = ProbeImages(images.clean[others], images.labels[others], None, None, None)
    whole, part = (measure_views(model, Gates(masks), (view,), given, precision)[view] for given in (images, same))
    return asdict(whole) | {"acc_same_images": part.acc}


def oracle(victim: Victim, precision: Precision) -> dict[str, Any]:
    """The pruned view of a mask that is learned with knowledge of the trigger (seed 0)."""
    attack = victim.card.make_attack()
    assert attack is not None
    model, layout = victim.model.to(memory_format=torch.channels_last), MaskLayout.of(victim.model)  # type: ignore[call-overload]
    images, generator = clean_budget("cifar10", 100, 0).tensor(), torch.Generator().manual_seed(0)
    masks = replace(Masks.initial(layout), selection=torch.zeros(layout.channels))
    mask = torch.full_like(masks.mask, 0.75).requires_grad_()
    optimizer = torch.optim.AdamW([mask], lr=RATE)
    for _ in trange(ROUNDS, desc=victim.card.name):
        chosen = images[torch.randperm(len(images), generator=generator)[:BATCH]]
        clean = augment(chosen, generator, 4, flip=True)
        gate = replace(masks, mask=mask).gate(View.PRUNED)
        one = torch.ones_like(gate)
        with autocast(precision, "cpu"):
            with torch.no_grad():
                reference = gated_logits(model, layout, [(clean, one)])[0].softmax(1)
            answers = gated_logits(model, layout, [(clean, gate), (attack.apply(clean), gate)])
        loss = torch.stack([agree(logits.softmax(1), reference) for logits in answers]).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            mask.clamp_(0, 1)
    learned = replace(masks, mask=mask.detach())
    test = ProbeImages.of(load_embedded("cifar10", "test").images, victim)
    found = measures(model, learned, View.PRUNED, test, precision)
    return found | {"pruned_channels": Sparsity.of(learned).pruned, "channels": layout.channels}


if __name__ == "__main__":
    main()
