"""The options of `check`."""

import argparse

from invmask.cli.argument_types import numbers, pair, whole


def add(parser: argparse.ArgumentParser) -> None:
    """Add the options of `check` to its parser."""
    parser.add_argument("file", metavar="FILE", help="weights: .safetensors, .pt, .pth, .tar, .th")
    parser.add_argument(
        "--images", required=True, metavar="DIR", help="clean images: a folder, a folder of classes, .zip or .npz"
    )
    parser.add_argument("--entry", metavar="NAME", help="which network's weights, if FILE holds several")
    parser.add_argument("--architecture", metavar="NAME", help="one of 'models'; default: recognised")
    parser.add_argument("--code", metavar="FILE.py:Class", help="your own network; this runs the file's code")
    parser.add_argument("--outputs", type=whole(2), metavar="N", help="of the network; default: of the last layer")
    parser.add_argument("--mean", type=numbers, metavar="M,...", help="one number a channel, of images from 0 to 1")
    parser.add_argument("--std", type=numbers, metavar="S,...", help="default of both: the best of the usual ones")
    parser.add_argument("--size", type=pair, metavar="HxW", help="of the images as the network sees them")
    parser.add_argument("--classes", metavar="FILE", help="names of the outputs in order, a name a line")
    parser.add_argument("--labels", metavar="CSV", help="file names and classes of a flat folder")
    parser.add_argument("--part", metavar="NAME", help="the part of what the network returns that are its logits")
    parser.add_argument("--layers", metavar="NAME,...", help="layers to mask; default: convolutions or blocks")
    parser.add_argument("--anyway", action="store_true", help="go on with a network that hardly knows the images")
    parser.add_argument("--spc", type=whole(1, 100), default=10, metavar="N", help="clean images a class; default: 10")
    parser.add_argument("--seed", type=whole(0), default=0, metavar="S", help="draws the clean images and batches")
    parser.add_argument("--out", metavar="FILE", help="the repaired model, .safetensors or .onnx; default: in the home")
