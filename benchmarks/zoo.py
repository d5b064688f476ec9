"""A zoo of small networks, every second one backdoored, and what IMS's search says of each.

Trained on 6,000 images in a minute or so, and thrown away: kept is one JSON file a network under results/zoo, with
the statistics of the search in all four families of triggers (the search alone, for all its rounds, whatever stands
out). What is there is not made again. How well the statistics tell backdoored networks from clean ones, on networks
that nothing was learned from, says `--roc`; `--calibrate` writes what verdicts are made with:

    python -m benchmarks.zoo
    python -m benchmarks.zoo --count 48
    python -m benchmarks.zoo --roc
    python -m benchmarks.zoo --calibrate
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import signs, zoo_search
from benchmarks.checkout import commit
from benchmarks.zoo_entries import CLASSES, PAIRS, Entry, zoo
from benchmarks.zoo_roc import learned, read_rows, report
from invmask import disk, settings
from invmask.attacks.base import Attack, EpochReport, Progress, TrainedAttack
from invmask.attacks.training.poison_batches import LoopAttack
from invmask.attacks.training.poison_set import PoisonedSet, poison
from invmask.attacks.training.train_victim import train
from invmask.cli.train import fetch
from invmask.data.embedded import load_embedded, pick
from invmask.data.images import CIFAR10, LabelledImages
from invmask.data.registry import load_dataset
from invmask.defenses import verdict
from invmask.errors import UserError
from invmask.machine import processor
from invmask.measure.metrics import Measures
from invmask.models import Classifier, suited_precision
from invmask.victims.victim import CLEAN, measure, new_model, versions

RESULTS = Path(__file__).parent / "results" / "zoo"
VERDICT = Path(verdict.__file__).with_suffix(".json")
IMAGES = 6_000
IMPLANTED = 0.8
"""With an ASR below this a network is noted as one that the backdoor did not take in."""


def trained(
    entry: Entry, images: LabelledImages, test: LabelledImages, progress: Progress | None = None
) -> tuple[Classifier, Measures]:
    """The network, in eval mode, and how it measures on `test`.

    As `victims.make.make_victim` makes it, but on these images alone, and stored nowhere.
    """
    plan, config, cpu = entry.plan, entry.stage.config, torch.device("cpu")
    attack: Attack | None = plan.make_attack()
    targets, session, poisoned = plan.targets, None, PoisonedSet.untouched(images)
    torch.manual_seed(entry.seed)
    model = new_model(plan.dataset, plan.architecture)
    if isinstance(attack, TrainedAttack):
        attack = attack.prepare(images, cpu, config.bfloat16, Progress())
    if isinstance(attack, LoopAttack) and targets is not None:
        session = attack.session(targets, plan.poisoning_ratio, cpu)
    elif attack is not None and targets is not None:
        poisoned = poison(images, attack, plan.poisoning_ratio, targets, entry.seed, plan.labels)
    train(model, poisoned, config, cpu, progress, session)
    if session is not None:
        attack = session.trained()
    return model.requires_grad_(False), measure(model, test, attack, targets)


def training_images(entry: Entry) -> LabelledImages:
    """The images that it is trained on, as many of every class, others for every network."""
    images = load_dataset(entry.network.dataset, settings.data_folder(), train=True)
    each = min(IMAGES // CLASSES[entry.network.dataset], int(np.bincount(images.labels).min()))
    return images.take(pick(images, each, entry.seed))


def made(entry: Entry) -> dict[str, Any]:
    """Train, search, and tell of it, as JSON."""

    def said(report: EpochReport) -> None:
        print(f"  epoch {report.epoch}: loss {report.loss:.3f}, {report.accuracy:.3f}", file=sys.stderr, flush=True)

    images, network = training_images(entry), entry.network
    test = load_embedded(network.dataset, "test").images
    started = time.perf_counter()
    model, measures = trained(entry, images, test, Progress(on_epoch=said))
    between = time.perf_counter()
    precision = suited_precision(network.architecture)
    told = zoo_search.statistics(model, network.dataset, precision)
    backdoored = entry.attack != CLEAN
    return {
        "name": entry.name,
        "place": entry.place,
        "dataset": network.dataset,
        "architecture": network.architecture,
        "kind": network.kind_and_width[0],
        "attack": entry.attack,
        "beside": entry.beside,
        "target": entry.target if backdoored else None,
        "ratio": entry.ratio if backdoored else None,
        "settings": entry.settings,
        "seed": entry.seed,
        "classes": CLASSES[network.dataset],
        "images": len(images),
        "epochs": network.epochs,
        "acc": measures.acc,
        "asr": measures.asr,
        "ra": measures.ra,
        "n_test": len(test),
        "n_triggered": measures.n_triggered,
        "implanted": measures.asr is not None and measures.asr >= IMPLANTED if backdoored else None,
        **told,
        "seconds": {"training": round(between - started, 1), "search": round(time.perf_counter() - between, 1)},
        "precision": precision,
        "threads": torch.get_num_threads(),
        "versions": versions(),
        "machine": processor(),
        "commit": commit(),
    }


def missing(entries: Iterable[Entry], folder: Path) -> list[Entry]:
    """Those that there is no result of."""
    return [entry for entry in entries if not (folder / f"{entry.name}.json").exists()]


def fill(entries: Iterable[Entry], folder: Path) -> None:
    """Make what is missing, one after the other."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, entry in enumerate(to_do := missing(entries, folder), 1):
        print(f"{entry.name}, {number} of {len(to_do)} missing.", file=sys.stderr, flush=True)
        raw = made(entry)
        disk.write_bytes(folder / f"{entry.name}.json", (json.dumps(raw, indent=1, allow_nan=False) + "\n").encode())
        shares = ", ".join(f"{key} {raw[key]:.3f}" for key in ("acc", "asr") if raw[key] is not None)
        leads = ", ".join(f"{name} {of['lead']:.2f} to {of['label']}" for name, of in raw["families"].items())
        print(f"  {shares}, target {raw['target']}; {leads}; {raw['seconds']}", file=sys.stderr, flush=True)


def provide(datasets: Iterable[str]) -> None:
    """Have data sets at hand: fetch or draw those that are not."""
    for dataset in dict.fromkeys(datasets):
        if dataset == signs.DATASET:
            # They are drawn in front of its images.
            fetch(CIFAR10.name)
            signs.draw()
        fetch(dataset)


def calibrate(folder: Path, path: Path) -> None:
    """Write what verdicts are made with, and where it comes from.

    Raises:
        UserError: there are not networks of both sorts.
    """
    rows, left = read_rows(folder)
    if {row.backdoored for row in rows} != {False, True}:
        raise UserError("There are no results of both backdoored and clean networks; run 'python -m benchmarks.zoo'.")
    written = {"made_by": "python -m benchmarks.zoo --calibrate", "commit": commit(), "left_out_of_everything": left}
    written["missing"] = len(missing(zoo(), folder))
    written["regression"] = asdict(learned(rows))
    disk.write_bytes(path, (json.dumps(written, indent=1, allow_nan=False) + "\n").encode())


def chosen(names: list[str] | None, count: int) -> list[Entry]:
    """The entries that were asked for.

    Raises:
        UserError: there is none of such a name.
    """
    entries = {entry.name: entry for entry in zoo()[:count]}
    if names is None:
        return list(entries.values())
    if unknown := [name for name in names if name not in entries]:
        raise UserError(f"The zoo has no network {', '.join(unknown)}; choose among: {', '.join(entries)}.")
    return [entries[name] for name in names]


def main() -> None:
    """Make what is missing, or tell what the results say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="names of networks")
    parser.add_argument("--count", type=int, default=2 * PAIRS, help="so many networks, from the zoo's beginning")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--roc", action="store_true", help="print what the results say, make nothing")
    parser.add_argument("--calibrate", action="store_true", help="write the verdict's regression, make nothing")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    if asked.roc:
        print(report(read_rows(RESULTS)))
        return
    if asked.calibrate:
        calibrate(RESULTS, VERDICT)
        return
    os.environ.setdefault("INVMASK_THREADS", str(asked.threads))
    entries = missing(chosen(asked.only, asked.count), RESULTS)
    provide(entry.network.dataset for entry in entries)
    fill(entries, RESULTS)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(str(error))
