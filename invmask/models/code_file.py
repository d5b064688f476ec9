"""A network from a class, or a function, in a Python file of one's own. This runs the file's code.

So a file is run only after somebody has agreed to it on this machine, as it is: the agreement is to the file's bytes. A
name in an address, a card or a message of somebody else's can therefore not run anything by itself.
"""

import hashlib
import inspect
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from invmask import settings
from invmask.errors import UserError

FORM = "code:FILE.py:Class"
MAX_BYTES = 4 << 20


def agree(path: Path) -> None:
    """Note that this file may be run as it is. Call this only after the user has been told that its code is run.

    Modules that the file imports from its folder are run with it.

    Raises:
        UserError: there is no such file, or it is too large.
    """
    note = _note(_read(path))
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_text(f"{path.resolve()}\n")


def _note(code: bytes) -> Path:
    return settings.home() / "agreed_code" / hashlib.sha256(code).hexdigest()


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"{path} has more than {MAX_BYTES >> 20} MB, too much for a Python file.")
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read; name a Python file on this machine.") from error


def network_from_code(place: str, num_classes: int) -> nn.Module:
    """The network that ``FILE.py:Class`` makes. It is called with `num_classes`, if it takes that, or with nothing.

    Modules beside the file can be imported by it.

    Raises:
        UserError: no such file or class, nobody has agreed to run it, the code failed, or it made no `nn.Module`.
    """
    file, _, name = place.rpartition(":")
    path = Path(file).expanduser()
    if not file or path.suffix != ".py" or not name.isidentifier():
        raise UserError(f"A network of your own is named {FORM}, not 'code:{place}'.")
    code = _read(path)
    if not _note(code).exists():
        raise UserError(f"Nobody has agreed to run {path} as it is now; bring the model again and agree to that.")
    made = getattr(_module(path, code), name, None)
    if not callable(made):
        raise UserError(f"{path} has no class or function '{name}'.")
    try:
        network = made(**_arguments(made, num_classes))
    except Exception as error:  # the code is the user's own
        raise UserError(f"'{name}' in {path} could not be made: {type(error).__name__}: {error}") from error
    if not isinstance(network, nn.Module):
        raise UserError(f"'{name}' in {path} makes a {type(network).__name__}, not a torch.nn.Module.")
    return network


def _module(path: Path, code: bytes) -> ModuleType:
    """Run the file's code, and return it as a module. The same code at the same place is run once a process."""
    name = f"invmask_own_code_{hashlib.sha256(bytes(path.resolve()) + code).hexdigest()[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    module = ModuleType(name)
    module.__file__ = str(path)
    folder, before = str(path.resolve().parent), set(sys.modules)
    sys.path.insert(0, folder)
    # Dataclasses look their module up by name.
    sys.modules[name] = module
    try:
        # These bytes were agreed to; the file may have changed since they were read.
        exec(compile(code, str(path), "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise UserError(f"{path} could not be run: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(folder)
        # Another file's neighbours may have the same names.
        for other in set(sys.modules) - before - {name}:
            if str(getattr(sys.modules[other], "__file__", None) or "").startswith(f"{folder}{os.sep}"):
                del sys.modules[other]
    return module


def _arguments(made: Any, num_classes: int) -> dict[str, int]:
    try:
        takes = inspect.signature(made).parameters
    except (TypeError, ValueError):
        return {}
    return {"num_classes": num_classes} if "num_classes" in takes else {}
