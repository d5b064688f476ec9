"""Reading a stranger's file in a process of its own, so that the worst file costs that process and nothing else.

The child has limits on memory, processor time and the size of files. Its Python refuses to start programs, to open
connections, and to write outside one scratch folder. This is no sandbox against code in C that a file takes over. What
the child returns comes back as JSON, so that nothing it says is executed.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from invmask.errors import UserError, in_brief

GIB = 1 << 30
MOST_ANSWER_BYTES = 64 << 20
_PACKAGE_PARENT = str(Path(__file__).resolve().parents[1])
_OUT_OF_MEMORY = ("DefaultCPUAllocator", "can't allocate memory", "bad allocation", "std::bad_alloc", "out of memory")
# Events of `sys.audit` that a reader of files never causes.
_NEVER = (
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.spawn",
    "os.fork",
    "os.forkpty",
    "os.kill",
    "pty.spawn",
    "subprocess.Popen",
    "socket.connect",
    "socket.bind",
    "socket.getaddrinfo",
    "webbrowser.open",
    "ftplib.connect",
    "urllib.Request",
)
_CHANGES = ("os.remove", "os.rename", "os.link", "os.symlink", "os.mkdir", "os.rmdir", "os.chmod", "os.truncate")


def call(
    function: Callable[..., Any],
    *arguments: Any,
    what: str = "This file",
    scratch: Path | None = None,
    seconds: float = 60,
    memory_bytes: int = 2 * GIB,
) -> Any:
    """Call a function in a fresh child process, and return what it returns.

    The child needs some 0.1 s to start, and 2 s more if the function's module imports torch.

    Args:
        function: a function of a module, found again in the child by name.
        arguments: what JSON can hold; paths arrive as strings.
        what: the subject of the sentence if it fails, such as "The file model.pt".
        scratch: the only folder that the child may write to, for results too large for JSON. The caller owns it and
            must not trust its files either: read them by a format that executes nothing (safetensors, npy).
        seconds: after this time the child is killed.
        memory_bytes: of memory beyond what the imported modules need; also the most bytes of a file that it writes.

    Raises:
        UserError: the function's own message, if it raised one. Otherwise one sentence: too slow, too much memory, or
            damaged so that the child crashed.
    """
    if function.__module__ == "__main__":
        raise ValueError("the child cannot find a function of __main__; put it in a module of its own")
    task = {
        "module": function.__module__,
        "name": function.__qualname__,
        "arguments": arguments,
        "scratch": str(scratch.resolve()) if scratch else None,
        "seconds": seconds,
        "memory_bytes": memory_bytes,
    }
    with tempfile.TemporaryFile() as answer:
        child = subprocess.Popen(
            # -P: no file beside the child can pass for a module.
            [sys.executable, "-P", "-m", "invmask.confined"],
            env=_environment(),
            stdin=subprocess.PIPE,
            stdout=answer,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            child.communicate(json.dumps(task, default=str).encode(), timeout=seconds)
        except subprocess.TimeoutExpired:
            raise UserError(_too_slow(what, seconds)) from None
        finally:
            _end(child)
        answer.seek(0)
        said = answer.read(MOST_ANSWER_BYTES + 1)
    try:
        found = json.loads(said) if child.returncode == 0 and len(said) <= MOST_ANSWER_BYTES else {}
    except (ValueError, RecursionError):
        found = {}
    if not isinstance(found, dict) or not found.keys() & {"result", "sentence", "memory", "error"}:
        # SIGKILL comes from the system when memory runs out.
        if child.returncode == -getattr(signal, "SIGKILL", 9):
            raise UserError(_too_large(what, memory_bytes))
        raise UserError(f"{what} is damaged so badly that the process which read it crashed; get it again.")
    if "result" in found:
        return found["result"]
    if "sentence" in found:
        raise UserError(str(found["sentence"]))
    if "memory" in found:
        raise UserError(_too_large(what, memory_bytes))
    raise UserError(f"{what} cannot be read ({found['error']}); get it again, or store it in another format.")


def _too_slow(what: str, seconds: float) -> str:
    return f"{what} was not read within {seconds:g} s, so reading was stopped; make it smaller or get it again."


def _too_large(what: str, memory_bytes: int) -> str:
    return (
        f"{what} needs more than {memory_bytes / GIB:.1f} GB of memory, so reading was stopped; make it smaller or get "
        "it again."
    )


def _environment() -> dict[str, str]:
    """The child's variables: it finds the same modules, uses one thread, and is not told the dashboard's password."""
    # An empty entry stands for the current directory.
    places = [_PACKAGE_PARENT, *(str(Path(place or ".").absolute()) for place in sys.path)]
    kept = {name: value for name, value in os.environ.items() if name != "INVMASK_PASSWORD"}
    return {
        **kept,
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(places)),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }


def _end(child: subprocess.Popen[bytes]) -> None:
    """Kill the child if it still runs, with all that it may have started, and wait for it."""
    if child.poll() is None:
        with contextlib.suppress(OSError):
            os.killpg(child.pid, signal.SIGKILL) if hasattr(os, "killpg") else child.kill()
        child.wait()


def _limit(seconds: float, memory_bytes: int) -> None:
    """Limit this process from now on, as far as the system can."""
    try:
        import resource
    except ImportError:  # Windows: the time limit remains
        return

    import psutil

    # Modules such as torch map gigabytes of their own; they are already imported.
    memory = psutil.Process().memory_info().vms + memory_bytes
    limits = {"RLIMIT_AS": memory, "RLIMIT_CPU": int(seconds) + 1, "RLIMIT_FSIZE": memory_bytes, "RLIMIT_CORE": 0}
    for name, value in limits.items():
        # Systems refuse some of these limits, and an existing lower one stays.
        with contextlib.suppress(ValueError, OSError, AttributeError):
            kind = getattr(resource, name)
            resource.setrlimit(kind, (value, value))


def _watch(scratch: str | None) -> None:
    """Refuse, in this process for good, to start programs, to open connections, and to write outside `scratch`."""

    def inside(path: object) -> bool:
        if isinstance(path, int):  # an open file
            return True
        real = os.path.realpath(os.fsdecode(path))  # type: ignore[arg-type]
        return real == os.devnull or (scratch is not None and os.path.commonpath([real, scratch]) == scratch)

    def refuse(event: str, values: tuple[Any, ...]) -> None:
        if event in _NEVER:
            raise PermissionError(f"{event} is not allowed while a file is read")
        if event == "open":
            path, mode, flags = values
            writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC)
            if (writes or (isinstance(mode, str) and set(mode) & set("wax+"))) and not inside(path):
                raise PermissionError("writing is not allowed while a file is read")
        elif event in _CHANGES and not all(inside(path) for path in values if isinstance(path, str | bytes)):
            raise PermissionError(f"{event} is not allowed while a file is read")

    sys.addaudithook(refuse)


def _work(task: dict[str, Any]) -> dict[str, Any]:
    function: Any = import_module(task["module"])
    for part in task["name"].split("."):
        function = getattr(function, part)
    _limit(task["seconds"], task["memory_bytes"])
    _watch(task["scratch"])
    try:
        return {"result": function(*task["arguments"])}
    except UserError as error:
        return {"sentence": str(error)}
    except MemoryError:
        return {"memory": True}
    except Exception as error:  # whatever a hostile file can cause
        return {"memory": True} if any(words in str(error) for words in _OUT_OF_MEMORY) else {"error": in_brief(error)}


def _main() -> None:
    task = json.load(sys.stdin)
    # Libraries print, too: what they print must not mix with the answer.
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    try:
        said = json.dumps(_work(task)).encode()
    except (TypeError, ValueError, MemoryError, RecursionError) as error:
        said = json.dumps({"error": in_brief(error)}).encode()
    answer.write(said)
    answer.flush()
    # Without the interpreter's own end, in which damaged objects could still crash.
    os._exit(0)


if __name__ == "__main__":
    _main()
