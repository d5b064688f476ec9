"""The arguments of the commands over many runs: `sweep` and `compare`."""

import argparse

from invmask.cli.argument_types import whole


def sweep_arguments(parser: argparse.ArgumentParser) -> None:
    """Add those of `sweep`."""
    for name, default, explanation in (
        ("attacks", "badnets", "names that 'attacks' lists, and clean"),
        ("architectures", "preactresnet18w16", "names that 'models' lists"),
        ("datasets", "cifar10", "names that 'datasets' lists"),
        ("ratios", "0.1", "shares of the training set that are poisoned"),
        ("defenses", "default", "defences and presets, as ims:paper, anp, ft; of ims the preset is enough"),
        ("spc", "10", "clean images a class, 1 to 100"),
        ("seeds", "0", "each draws the clean images and batches"),
    ):
        parser.add_argument(f"--{name}", default=default, metavar="A,B,...", help=f"{explanation}; default: {default}")
    parser.add_argument("--name", default="sweep", metavar="NAME", help="of its directory in the home's sweeps")
    parser.add_argument(
        "--precision",
        choices=["float32", "bfloat16"],
        help="default: what suits the processor and each network; of paper, float32",
    )
    parser.add_argument(
        "--at-once",
        type=whole(1),
        metavar="N",
        help="runs handed out at once; default: as many as the workers can have",
    )
    parser.add_argument(
        "--epochs",
        type=whole(1),
        metavar="N",
        help="for victims that have to be trained first; later sweeps take them as they are",
    )


def compare_arguments(parser: argparse.ArgumentParser) -> None:
    """Add those of `compare`."""
    defenses = "ims,anp,ft"
    parser.add_argument("victims", nargs="+", metavar="VICTIM", help="names that 'victims' lists")
    parser.add_argument("--defenses", default=defenses, metavar="A,B,...", help=f"as in 'sweep'; default: {defenses}")
    parser.add_argument("--spc", default="10", metavar="A,B,...", help="clean images a class; default: 10")
    parser.add_argument("--seeds", default="0", metavar="A,B,...", help="default: 0")
    parser.add_argument("--run", action="store_true", help="make the missing runs first, one after the other")
    formats = ["table", "markdown", "latex", "csv", "json"]
    parser.add_argument("--format", choices=formats, default="table", help="default: table")
