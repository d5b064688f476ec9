"""The table of damaged files, from `benchmarks/results/fuzz.json`."""

import json
from pathlib import Path
from typing import Any

RESULT = Path(__file__).parent / "results" / "fuzz.json"


def fuzz_table(result: Path = RESULT) -> str:
    """What became of the damaged files of every kind, as a Markdown table; a sentence if nothing was measured."""
    if not result.exists():
        return "Not measured on this version yet: `python -m benchmarks.fuzz`."
    found: dict[str, Any] = json.loads(result.read_text())
    titles = ["kind", "files", "read", "picture left out", "refused"]
    titles += ["child crashed", "too much memory", "over 10 s", "slowest"]
    lines = ["| " + " | ".join(titles) + " |", "| --- " * len(titles) + "|"]
    kinds: dict[str, dict[str, Any]] = found["kinds"]
    for name, of in kinds.items():
        refused = of["refused"] + sum(of["otherwise"].values())
        numbers = [of["files"], of["read"], of["left_out"], refused, of["crashed"], of["memory"], of["slow"]]
        lines.append(f"| {name} | " + " | ".join(f"{number:,}" for number in numbers) + f" | {of['slowest']:.2f} s |")

    def total(name: str) -> int:
        return sum(of[name] for of in kinds.values())

    note = (
        f"{total('files'):,} files in all, of which {total('end_to_end'):,} were also read from end to end. Files "
        f"changed or created outside the scratch folder: {total('outside'):,}. Harmful instructions followed: "
        f"{total('harmed'):,}. Messages that are not one printable line of at most 600 characters: "
        f"{total('not_plain'):,}. Measured on {found['machine']}, with seed {found['seed']}, in "
        f"{found['minutes']:g} minutes."
    )
    return "\n".join([*lines, "", note])
