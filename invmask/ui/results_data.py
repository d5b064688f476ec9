"""What the page Results reads: the sweeps of this machine's home."""

from pathlib import Path

import streamlit as st

from invmask import settings
from invmask.figures.grid_map import GridCell
from invmask.runs.grid_results import CaseResult, in_words, read_folder, summarise

SHOWN = {
    "pruned asr": "Pruned view: ASR",
    "pruned ra": "Pruned view: RA",
    "pruned acc": "Pruned view: ACC",
    "inverse asr": "Inverse view: ASR",
    "inverse acc": "Inverse view: ACC",
    "original asr": "Original: ASR",
    "original acc": "Original: ACC",
}


def names() -> list[str]:
    """Directories of sweeps, the one last written to first."""
    folder = settings.sweeps_folder()
    found = [path for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []
    return [path.name for path in sorted(found, key=lambda path: (-path.stat().st_mtime, path.name))]


def read(name: str) -> tuple[list[CaseResult], list[str]]:
    """Every case of a sweep, and a sentence for each file that is none."""
    return _read(str(settings.sweeps_folder() / name), stamp(name))


def cells(results: list[CaseResult], shown: str) -> tuple[list[GridCell], list[list[CaseResult]]]:
    """A square for each victim and budget, and the cases behind each."""
    view, measure = shown.split()
    table = summarise(results)
    groups: dict[tuple[object, ...], list[CaseResult]] = {}
    for result in results:
        groups.setdefault(result.group, []).append(result)
    found, alike = [], len({(result.architecture, result.dataset) for result in results}) == 1
    for row, members in zip(table.to_dict("records"), groups.values(), strict=True):
        mean, first = row[f"{view} {measure}"], members[0]
        said = in_words(row, view, measure)
        hover = f"<b>{first.victim}</b><br>SPC {first.spc}, {row['seeds']} seeds<br>{SHOWN[shown]}: " + (
            f"{said} %" if said else "no result"
        )
        # What all rows have in common needs not be said in each.
        title = victim_row(first).partition(",")[0] if alike else victim_row(first)
        found.append(GridCell(title, str(first.spc), float(mean) if said else None, hover))
    return found, list(groups.values())


def victim_row(result: CaseResult) -> str:
    """`badnets 10 %, preactresnet18w16, cifar10`: short enough for an axis."""
    ratio = f" {100 * result.poisoning_ratio:.3g} %" if result.poisoning_ratio else ""
    return f"{result.attack}{ratio}, {result.architecture}, {result.dataset}"


def said_once(results: list[CaseResult]) -> list[str]:
    """Which of data set, architecture and preset are the same in all cases."""
    return [key for key in ("dataset", "architecture", "preset") if len({getattr(of, key) for of in results}) == 1]


def in_common(results: list[CaseResult]) -> str:
    """` All: cifar10, preactresnet18w16, default.`, or as much of it as holds."""
    same = [getattr(results[0], key) for key in said_once(results)]
    return f" All: {', '.join(same)}." if same else ""


def stamp(name: str) -> tuple[int, int]:
    """Changes whenever a case of the sweep is written."""
    times = [path.stat().st_mtime_ns for path in (settings.sweeps_folder() / name).glob("*.json")]
    return len(times), max(times, default=0)


@st.cache_data(max_entries=8, show_spinner=False)
def _read(folder: str, stamp: tuple[int, int]) -> tuple[list[CaseResult], list[str]]:  # noqa: ARG001
    return read_folder(Path(folder))
