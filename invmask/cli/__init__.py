"""The command line: its commands and options, and how mistakes are reported.

Results go to stdout (only JSON with --json), progress and error messages to stderr. A mistake of the user gives one
sentence and exit status 2. Each command imports torch itself if it needs it.
"""

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from invmask import settings
from invmask.cli import check_options, of_many_runs
from invmask.cli.argument_types import fraction, whole
from invmask.errors import UserError

WRONG, FAILED, INTERRUPTED = 2, 1, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    try:
        try:
            parsed = build_parser().parse_args(arguments)
            return parsed.command(parsed)
        finally:
            # Flush now: an error while Python flushes at exit could not be reported.
            sys.stdout.flush()
    except UserError as error:
        print(error, file=sys.stderr)
        return WRONG
    except BrokenPipeError:
        # The reader of our output has closed the pipe.
        _forget_output()
        return FAILED
    except OSError as error:
        _forget_output()
        print(f"{error.filename or 'A file'} cannot be used: {error.strerror or error}.", file=sys.stderr)
        return WRONG
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return INTERRUPTED


def _forget_output() -> None:
    """Prevent Python from flushing stdout again at exit, because that may be what failed."""
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        return
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        sentence = message[:1].upper() + message[1:].rstrip(".")
        raise UserError(f"{sentence}; see '{self.prog} --help'.")


def _called() -> str:
    """The command as the user typed it, for messages that show how to call it again."""
    return "invmask" if Path(sys.argv[0]).stem == "invmask" else "python -m invmask"


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands and their options."""
    parser = _Parser(prog=_called(), description="Invertible pruning masks against backdoors.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    app = _command(commands, "app", _app, "serve the dashboard, until it is interrupted")
    app.add_argument("--port", type=whole(1, 65535), default=8501, metavar="N", help="default: 8501")
    app.add_argument(
        "--address",
        default="localhost",
        metavar="HOST",
        help="default: localhost; 0.0.0.0 opens it to the network, and anyone who reaches it can start runs",
    )

    for name, command, explanation in (
        ("victims", _victims, "list the victims there are"),
        ("attacks", _attacks, "list the attacks that victims can be trained with"),
        ("defenses", _defenses, "list the defences there are, with their settings and presets"),
        ("models", _models, "list the architectures there are"),
        ("datasets", _datasets, "list the data sets there are"),
    ):
        _json(_command(commands, name, command, explanation))

    defend = _command(commands, "defend", _defend, "run a defence on a victim, from the first round to the last")
    defend.add_argument("victim", metavar="VICTIM")
    defend.add_argument("--spc", type=whole(1), default=10, metavar="N", help="clean images a class, 1 to 100")
    defend.add_argument("--defense", default="ims", metavar="NAME", help="one of 'defenses'; default: ims")
    defend.add_argument("--preset", help="settings to start from, one of the defence's; default: its first")
    defend.add_argument("--seed", type=whole(0), default=0, metavar="S", help="draws the clean images and batches")
    defend.add_argument("--rounds-max", type=whole(1), metavar="N", help="end after so many rounds in any case")
    defend.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="change a setting; may be given repeatedly"
    )
    defend.add_argument(
        "--precision",
        choices=["float32", "bfloat16"],
        help="default: what suits the processor and the network; of paper, float32",
    )
    _json(defend)

    check = _command(commands, "check", _check, "check a model of your own for a backdoor, and repair it")
    check_options.add(check)
    _json(check)

    runs = _command(commands, "runs", _runs, "list all runs, newest first")
    _json(runs)
    for name, command, explanation in (
        ("show", _show, "one run: its settings, how far it is, how it went"),
        ("resume", _resume, "go on with a run to its end, after a pause, a stop, a failure or a kill"),
    ):
        of_run = _command(commands, name, command, explanation)
        of_run.add_argument("run", metavar="RUN")
        _json(of_run)
    rename = _command(commands, "rename", _rename, "give a run a name of your own, shown wherever runs are listed")
    rename.add_argument("run", metavar="RUN")
    rename.add_argument("name", metavar="NAME", help="at most 60 characters; '' takes the name away")
    _command(commands, "delete", _delete, "delete a run").add_argument("run", metavar="RUN")

    forget = _command(commands, "forget", _forget, "delete a model of your own and its images")
    forget.add_argument("victim", metavar="VICTIM", help="as 'victims' lists it: own-…")

    figures = _command(
        commands, "figures", _figures, "write the figures of a run, the numbers behind them and captions"
    )
    figures.add_argument("run", metavar="RUN")
    figures.add_argument("--out", required=True, metavar="DIR", help="made if it is not there")
    figures.add_argument("--format", default="svg,pdf,png,html,csv", metavar="F,...", help="default: all of them")
    figures.add_argument(
        "--width", type=whole(1), default=88, metavar="MM", help="88, one column of a paper, or 180, two; default: 88"
    )
    figures.add_argument("--only", metavar="NAME,...", help="figures by name; default: all")
    figures.add_argument("--round", type=whole(1), metavar="N", help="default: the latest")
    figures.add_argument("--sample", metavar="N", help="of Flip, by its number there, or clean-N; default: recovered")
    figures.add_argument("--channel", metavar="NAME", help="of Neurons, as layer4.1.conv1:12; default: highest-scored")
    figures.add_argument("--draw", type=whole(0), default=0, metavar="N", help="test images for it; default: 0")
    figures.add_argument("--measure", action="store_true", help="measure first what Neurons and Tune would (a minute)")
    _json(figures)

    export = _command(commands, "export", _export, "write the repaired model, the mask alone, or the replay of the run")
    export.add_argument("run", metavar="RUN")
    export.add_argument("--view", help="default: pruned, or repaired where weights changed; mask writes the mask alone")
    export.add_argument("--out", metavar="FILE", help="FILE.safetensors or FILE.onnx")
    export.add_argument("--replay", metavar="FILE", help="FILE.html: all rounds in one page that opens offline")
    export.add_argument("--gif", metavar="FILE", help="FILE.gif or .webp: all rounds as a moving picture for slides")
    export.add_argument("--round", type=whole(1), metavar="N", help="default: the latest")
    export.add_argument("--mask", metavar="NAME", help="a mask made by hand, by its name; default: the learned one")

    train = _command(commands, "train", _train, "train a victim on the full data set; goes on where it was interrupted")
    train.add_argument(
        "victim",
        nargs="?",
        metavar="VICTIM",
        help="<dataset>-<architecture>-<attack>, or a victim that there is; one that comes with invmask is made again "
        "with --out or --name",
    )
    train.add_argument("--attack", metavar="NAME", help="one of 'attacks', or clean for a control")
    train.add_argument("--dataset", metavar="NAME", help="default: cifar10")
    train.add_argument("--architecture", metavar="NAME", help="default: preactresnet18w16")
    train.add_argument("--labels", metavar="HOW", help="all-to-one (default), all-to-all or clean-label")
    train.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="change a setting of the attack; repeatable"
    )
    train.add_argument("--picture", metavar="FILE.png", help="the trigger of the attack 'picture', a small PNG")
    train.add_argument("--name", metavar="NAME", help="what the victim is called; default: by what it is")
    train.add_argument("--epochs", type=whole(1), metavar="N", help="over all cycles of the learning rate")
    train.add_argument("--ratio", type=fraction, metavar="R", help="share of the training set that is poisoned")
    train.add_argument("--target", type=whole(0), metavar="LABEL", help="the label that the backdoor answers")
    train.add_argument("--seed", type=whole(0), metavar="S", help="draws weights, poisoned images and augmentation")
    train.add_argument("--precision", choices=["float32", "bfloat16"])
    train.add_argument("--threads", type=whole(1, settings.THREADS_LIMIT), metavar="N")
    train.add_argument("--out", metavar="FOLDER", help="default: victims in the home")
    train.add_argument("--device", help="cpu, cuda or cuda:N")
    _json(train)

    sweep = _command(commands, "sweep", _sweep, "defend a grid of victims; does what is missing, goes on after a kill")
    of_many_runs.sweep_arguments(sweep)
    _json(sweep)
    compare = _command(commands, "compare", _compare, "compare defences on the same victims, from the runs of the home")
    of_many_runs.compare_arguments(compare)

    data = _command(commands, "data", _data, "fetch a full data set, and draw the images that defences need from it")
    data.add_argument("dataset", metavar="DATASET", help="a name that datasets lists, or folder:NAME")
    return parser


def _command(
    commands: "argparse._SubParsersAction[_Parser]",
    name: str,
    command: Callable[[argparse.Namespace], int],
    explanation: str,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=explanation, description=explanation[:1].upper() + explanation[1:] + ".")
    parser.set_defaults(command=command)
    return parser


def _json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="machine-readable output, fractions in [0, 1]")


def _app(arguments: argparse.Namespace) -> int:
    from invmask.cli import app

    return app.app(arguments)


def _victims(arguments: argparse.Namespace) -> int:
    from invmask.cli import victims

    return victims.show_all(arguments.json)


def _attacks(arguments: argparse.Namespace) -> int:
    from invmask.cli import attacks

    return attacks.show_all(arguments.json)


def _compare(arguments: argparse.Namespace) -> int:
    from invmask.cli import compare

    return compare.compare(arguments)


def _defenses(arguments: argparse.Namespace) -> int:
    from invmask.cli import defenses

    return defenses.show_all(arguments.json)


def _defend(arguments: argparse.Namespace) -> int:
    from invmask.cli import defend

    return defend.defend(arguments)


def _check(arguments: argparse.Namespace) -> int:
    from invmask.cli import check

    return check.check(arguments)


def _forget(arguments: argparse.Namespace) -> int:
    from invmask.victims.forget import forget

    forget(arguments.victim)
    return 0


def _resume(arguments: argparse.Namespace) -> int:
    from invmask.cli import resume

    return resume.resume(arguments.run, arguments.json)


def _runs(arguments: argparse.Namespace) -> int:
    from invmask.cli import runs

    return runs.show_all(arguments.json)


def _show(arguments: argparse.Namespace) -> int:
    from invmask.cli import runs

    return runs.show(arguments.run, arguments.json)


def _rename(arguments: argparse.Namespace) -> int:
    from invmask.cli import runs

    return runs.rename(arguments.run, arguments.name)


def _delete(arguments: argparse.Namespace) -> int:
    from invmask.cli import runs

    return runs.delete(arguments.run)


def _figures(arguments: argparse.Namespace) -> int:
    from invmask.cli import exports

    return exports.figures(arguments)


def _export(arguments: argparse.Namespace) -> int:
    from invmask.cli import exports

    return exports.export(arguments)


def _train(arguments: argparse.Namespace) -> int:
    from invmask.cli import train

    return train.train(arguments)


def _sweep(arguments: argparse.Namespace) -> int:
    from invmask.cli import sweep

    return sweep.sweep(arguments)


def _models(arguments: argparse.Namespace) -> int:
    from invmask.cli import book

    return book.models(arguments.json)


def _datasets(arguments: argparse.Namespace) -> int:
    from invmask.cli import book

    return book.datasets(arguments.json)


def _data(arguments: argparse.Namespace) -> int:
    from invmask.cli import train

    return train.fetch(arguments.dataset)
