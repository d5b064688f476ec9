"""How well `default` holds on networks of many kinds, SPC 10, three seeds each.

Victims that are missing are trained first, briefly (they are made for this alone), and kept in benchmarks/victims, but
for those of drawn data sets, so that the same ones are measured again. Cases that are done are skipped; results are
kept under results/unlike, one JSON file a case:

    python -m benchmarks.unlike
"""

import argparse
import shutil
import sys
from pathlib import Path

from tqdm import tqdm

from benchmarks import signs
from benchmarks.cases import keep
from invmask import settings
from invmask.cli.sweep import is_done, run_cases, train_missing
from invmask.cli.train import fetch
from invmask.errors import UserError
from invmask.grids.grid import Case
from invmask.victims.make import Plan
from invmask.victims.victim import find_cards

RESULTS = Path(__file__).parent / "results" / "unlike"
NAME = "unlike"
EPOCHS = 12
# Small data sets have few steps per epoch and learn the trigger late; networks without BatchNorm take smaller steps.
MORE_EPOCHS = {f"{signs.DATASET}-preactresnet18w16-badnets-t20": 48, "cifar10-vgg6-blended": 24}
PLANS = (
    Plan("cifar10", "vgg19bnw16", "badnets"),
    Plan("cifar10", "efficientnetb3w8", "badnets"),
    Plan("cifar10", "vgg6bn", "badnets"),
    Plan("cifar10", "vgg6bnelu", "badnets"),
    Plan("cifar10", "vgg6", "blended"),
    Plan("cifar10", "wideresnet16", "blended", target_label=7),
    Plan("cifar10", "resnet20", "ssba", target_label=3),
    Plan("cifar10", "mobilenetv3largew8", "badnets"),
    Plan("cifar10", "vitw64", "badnets"),
    Plan("fashionmnist", "cnn4", "badnets"),
    Plan(signs.DATASET, "preactresnet18w16", "badnets", target_label=20),
)


def main() -> None:
    """Train what is missing, defend, and keep what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--victims", nargs="+", default=[plan.name for plan in PLANS])
    parser.add_argument("--presets", nargs="+", default=["default"])
    parser.add_argument("--train", action="store_true", help="only train what is missing")
    asked = parser.parse_args()
    cases = [
        Case.here(plan, preset, 10, seed)
        for plan in PLANS
        if plan.name in asked.victims
        for preset in asked.presets
        for seed in asked.seeds
    ]
    folder = settings.sweeps_folder() / NAME
    to_do = [case for case in cases if not is_done(folder, case)]
    if any(case.plan.dataset == signs.DATASET for case in to_do):
        signs.draw()
        fetch(signs.DATASET)
    for plan in PLANS:
        if of_plan := [case for case in to_do if case.plan == plan]:
            provide(of_plan)
    if asked.train:
        return
    with tqdm(total=len(cases), initial=len(cases) - len(to_do), unit="case", file=sys.stderr) as bar:
        run_cases(to_do, folder, settings.workers(), bar)
    keep(cases, folder, RESULTS)


def provide(cases: list[Case]) -> None:
    """Provide the victim of `cases`: the existing one, or else one that is trained now and stored.

    Raises:
        UserError: it cannot be trained.
    """
    name, kept, own = cases[0].plan.name, *settings.victim_folders()[1:]
    if name in find_cards(settings.victim_folders()):
        return
    if problems := train_missing(cases, MORE_EPOCHS.get(name, EPOCHS)):
        raise UserError(problems[name])
    # Names of users' folders contain a colon, which not every file system allows in file names.
    if ":" not in name:
        kept.mkdir(parents=True, exist_ok=True)
        # The card comes last, because it marks the victim as complete.
        for path in [*sorted(own.glob(f"{name}.*safetensors")), own / f"{name}.json"]:
            shutil.move(path, kept / path.name)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(str(error))
