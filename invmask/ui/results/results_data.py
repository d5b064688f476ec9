"""The data of the page Results: the sweeps in this machine's home, and sweeps that come with invmask."""

from pathlib import Path

from invmask import settings
from invmask.attacks.registry import ATTACKS
from invmask.data.budget import MAX_SPC
from invmask.defenses import registry
from invmask.defenses.settings import DefenseConfig
from invmask.errors import UserError
from invmask.figures.grid_map import GridCell
from invmask.grids.results import (
    ARITHMETIC,
    MEASURES,
    UNKNOWN,
    CaseResult,
    in_words,
    read_folder,
    summarise,
)
from invmask.masks.state import View
from invmask.ui.shell import shared_results
from invmask.ui.shell.names import architecture_title, count, dataset_title
from invmask.victims.victim import CLEAN

_MEASURED = settings.BENCHMARKS / "results"
# The user's own sweeps never have a dot in their names.
BUILT_IN = {
    "built.attacks": ("Built in: attacks", _MEASURED / "sweep" / "cases"),
    "built.networks": ("Built in: networks", _MEASURED / "unlike" / "cases"),
}
"""Sweeps that come with invmask, by their names in the address: title, and folder of their cases."""


def built_in() -> list[str]:
    """Names of the built-in sweeps that exist on this machine."""
    return [name for name, (_, folder) in BUILT_IN.items() if folder.is_dir()]


def title(name: str) -> str:
    """The title of a sweep on screen."""
    return BUILT_IN[name][0] if name in BUILT_IN else name


def names() -> list[str]:
    """Names of the sweeps' directories in the home, the last written first."""
    folder = settings.sweeps_folder()
    found = [path for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []
    return [path.name for path in sorted(found, key=lambda path: (-path.stat().st_mtime, path.name))]


def read(name: str) -> tuple[list[CaseResult], list[str]]:
    """Every case of a sweep, and a sentence for each file that is not a case."""
    return _read(str(_folder(name)), stamp(name))


def cells(results: list[CaseResult], view: View, alike: list[str]) -> tuple[list[GridCell], list[list[CaseResult]]]:
    """A cell for each victim and budget with its ACC, ASR and RA, and the cases behind each cell.

    Victims are in the order of their attacks; unknown attacks come after the known ones, clean controls last.

    Args:
        alike: the values that rows leave out, from `said_once`.
    """
    order = [*ATTACKS, CLEAN]
    results = sorted(
        results,
        key=lambda of: (of.attack == CLEAN, order.index(of.attack) if of.attack in order else len(order)),
    )
    told = apart(results)
    groups: dict[tuple[object, ...], list[CaseResult]] = {}
    for result in results:
        groups.setdefault(result.group, []).append(result)
    found = []
    for row, members in zip(summarise(results).to_dict("records"), groups.values(), strict=True):
        first, said = members[0], [in_words(row, view, measure) for measure in MEASURES]
        start = f"<b>{first.victim}</b><br>SPC {first.spc}, {_seeds(row['seeds'])}<br>{view.capitalize()} view: "
        found.append(
            GridCell(
                victim_row(first, alike, told),
                first.spc,
                tuple(float(row[f"{view} {of}"]) if text else None for of, text in zip(MEASURES, said, strict=True)),
                tuple(
                    f"{start}{of.upper()} {text} %" if text else f"{start}no {of.upper()}"
                    for of, text in zip(MEASURES, said, strict=True)
                ),
            )
        )
    return found, list(groups.values())


def _seeds(number: int) -> str:
    return f"{number} seed{'' if number == 1 else 's'}"


def victim_row(result: CaseResult, alike: list[str], told: list[str]) -> str:
    """`BadNets 10 %, vgg19bnw16, CIFAR-10`, without the values in `alike`, so that it is short enough for an axis.

    Args:
        told: the values that distinguish rows of one victim, from `apart`.
    """
    architecture = [] if "architecture" in alike else [result.architecture]
    dataset = [] if "dataset" in alike else [dataset_title(result.dataset)]
    return ", ".join([_attack(result), *architecture, *dataset, *_arithmetic(result, told)])


def apart(results: list[CaseResult]) -> list[str]:
    """Which of precision and device differ between cases of one victim; such cases get separate rows."""
    pairs = {key: {(of.victim, getattr(of, key)) for of in results} for key in ARITHMETIC}
    victims = {of.victim for of in results}
    return [key for key in ARITHMETIC if len(pairs[key]) > len(victims)]


def _arithmetic(result: CaseResult, told: list[str]) -> list[str]:
    """Precision and device in words, as far as they are in `told`; names the value that a file does not say."""
    values = {key: getattr(result, key) for key in told}
    return [f"{key} unknown" if value == UNKNOWN else value for key, value in values.items()]


def case_title(result: CaseResult, told: list[str]) -> str:
    """In full: `BadNets 10 % · CIFAR-10 · PreActResNet-18, quarter width · SPC 10 · default`.

    Args:
        told: the values that distinguish cases of one victim, from `apart`; they come at the end.
    """
    victim = (_attack(result), dataset_title(result.dataset), architecture_title(result.architecture))
    return " · ".join([*victim, f"SPC {result.spc}", result.method, *_arithmetic(result, told)])


def attack_title(attack: str) -> str:
    """`BadNets` for `badnets`; an unknown name is returned unchanged."""
    if attack == CLEAN:
        return "Clean control"
    return ATTACKS[attack].title if attack in ATTACKS else attack


def _attack(result: CaseResult) -> str:
    title = attack_title(result.attack)
    return f"{title} {100 * result.poisoning_ratio:.3g}\u00a0%" if result.poisoning_ratio else title


def settings_of(result: CaseResult) -> DefenseConfig | None:
    """The settings of the case's run, for a similar new run; None if the file does not hold them."""
    found = result.details.get("settings")
    if not 1 <= result.spc <= MAX_SPC or not isinstance(found, dict) or not found:
        return None
    try:
        entry = registry.entry(result.defense)
        return entry.config.from_json(found) if result.preset in entry.presets else None
    except (UserError, TypeError):
        return None


def said_once(results: list[CaseResult]) -> list[str]:
    """Which of data set, architecture, defence, preset, precision and device are the same in all cases."""
    keys = ("dataset", "architecture", "defense", "preset", *ARITHMETIC)
    return [key for key in keys if len({getattr(of, key) for of in results}) == 1]


def in_common(results: list[CaseResult]) -> str:
    """` All: CIFAR-10 · PreActResNet-18, quarter width · default.`, with only the values that all cases share."""
    first = results[0]
    titles = {
        "dataset": dataset_title(first.dataset),
        "architecture": architecture_title(first.architecture),
        "preset": first.preset,
    }
    same = [titles[key] for key in said_once(results) if key in titles]
    return f" All: {' · '.join(same)}." if same else ""


def sizes(results: list[CaseResult]) -> str:
    """` n = 2,000 clean and 1,800 triggered test images a case.`; for each data set if the numbers differ."""
    by_dataset: dict[str, list[CaseResult]] = {}
    for result in results:
        if result.problem is None:
            by_dataset.setdefault(dataset_title(result.dataset), []).append(result)
    said: dict[str, list[str]] = {}
    for dataset, members in by_dataset.items():
        said.setdefault(_sizes(members), []).append(dataset)
    if len(said) > 1:
        each = [" ".join([", ".join(datasets), words]) for words, datasets in said.items()]
        return f" Test images a case: {'; '.join(each)}."
    return "".join(f" {words} test images a case." for words in said)


def _sizes(results: list[CaseResult]) -> str:
    # A clean control has no triggered images.
    triggered = {result.n_triggered for result in results} - {0}
    parts = [f"{_span({result.n_clean for result in results})} clean"]
    parts += [f"{_span(triggered)} triggered"] if triggered else []
    return f"n\u00a0=\u00a0{' and '.join(parts)}"


def _span(numbers: set[int]) -> str:
    low, high = min(numbers), max(numbers)
    return count(low) if low == high else f"{count(low)} to {count(high)}"


def stamp(name: str) -> tuple[int, int]:
    """A value that changes whenever a case of the sweep is written."""
    times = [path.stat().st_mtime_ns for path in _folder(name).glob("*.json")]
    return len(times), max(times, default=0)


def _folder(name: str) -> Path:
    return BUILT_IN[name][1] if name in BUILT_IN else settings.sweeps_folder() / name


@shared_results.copied()
def _read(folder: str, stamp: tuple[int, int]) -> tuple[list[CaseResult], list[str]]:  # noqa: ARG001
    return read_folder(Path(folder))
