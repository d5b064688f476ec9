"""The table of all speed measurements, from raw results."""

import json
import statistics
from typing import Any

from benchmarks import (
    defence,
    quality,
)


def speed_table() -> str:
    """The speed measurements of benchmarks/, one line each with n; measurements that do not exist have no line."""
    results = quality.RESULTS.parent
    lines = ["| what | found | machine |", "| --- | --- | --- |"]

    def add(what: str, found: str, result: dict[str, Any]) -> None:
        threads = f", {result['threads']} thread{'s' * (result['threads'] > 1)}" if "threads" in result else ""
        lines.append(f"| {what} | {found} | {result['machine']}{threads} |")

    for path in sorted((results / "rounds").glob("*.json")):
        result = json.loads(path.read_text())
        for width, of in result["widths"].items():
            ratios = ", ".join(
                f"{key[6:]} {of[key]:.1f} times" for key in ("ratio_float32", "ratio_bfloat16") if key in of
            )
            what = f"`paper`, one round of phases 1 to 3, faster than as published: width {width[5:]}"
            add(what, f"{ratios} (n = {of['n']})", result)
    for path in sorted((results / "limit").glob("*.json")):
        result = json.loads(path.read_text())
        for width, by_precision in result["widths"].items():
            shares = ", ".join(
                f"{name} {100 * of['share']:.0f} % ({of['gflops_limit']:.0f} GFLOP/s)"
                for name, of in by_precision.items()
            )
            one = next(iter(by_precision.values()))
            what = f"share of the convolutions' limit in a round (that limit): width {width[5:]}"
            add(what, f"{shares} (n = {len(one['round_seconds'])})", result)
            fewer = one["flop_as_published"] / one["flop"]
            add(f"operations of a round as published over the engine's: width {width[5:]}", f"{fewer:.2f}", result)
            rounds = results / "rounds" / path.name
            timed = json.loads(rounds.read_text())["widths"].get(width) if rounds.exists() else None
            if timed is not None:
                plain = statistics.median(timed["seconds"]["as_published"]["minimise"])
                most = ", ".join(f"{name} {plain / of['limit_seconds']:.1f} times" for name, of in by_precision.items())
                add(f"a round of phase 2 at that limit, faster than as published: width {width[5:]}", most, result)
    for path in sorted((results / "defence").glob("*.json")):
        result = json.loads(path.read_text())
        each = [one["seconds"] for one in result["defences"]]
        in_rounds = statistics.median(one["seconds_in_rounds"] for one in result["defences"])
        memory = max(one["peak_memory_bytes"] for one in result["defences"]) / 2**30
        of_victim = "" if result["victim"] == defence.VICTIM else f" of `{result['victim']}`"
        before = ""
        if "before" in result:
            then = _spread([one["seconds"] for one in result["before"]["defences"]])
            ratio = statistics.median(result["before / now"])
            state = f"the state before the search ({result['before']['commit']})"
            before = f"; measured in turn with it, {state}: {then} s, {ratio:.1f} times as long"
        add(
            f"whole defence{of_victim}, `{result['preset']}`, SPC {result['spc']}, {result['precision']}",
            f"{_spread(each)} s, in rounds {in_rounds:.1f} s, at most {memory:.1f} GiB (n = {len(each)}){before}",
            result,
        )
    for path in sorted((results / "beside").glob("*.json")):
        result = json.loads(path.read_text())
        for what, found in beside_rows(result):
            add(what, found, result)
    for path in sorted((results / "workers").glob("*.json")):
        result = json.loads(path.read_text())
        ratios = ", ".join(f"{phase} {_spread(each)} times" for phase, each in result["ratio"].items())
        add("a round in a worker, faster than with Dask's memory setting", f"{ratios} (n = {result['n']})", result)
    precision = results / "precision.json"
    if precision.exists():
        result = json.loads(precision.read_text())
        for row in result["rows"]:
            each = row["float32 / bfloat16"]
            what = f"speed of a pass forward and backward of `{row['architecture']}` in bfloat16, relative to float32"
            add(what, f"{statistics.mean(each):.2f} ± {statistics.stdev(each):.2f} times (n = {len(each)})", result)
    for path in sorted((results / "slopes").glob("*.json")):
        result = json.loads(path.read_text())
        for name, axes in result["presets"].items():
            for axis, of in axes.items():
                each = [len(by_phase["minimise"]) for by_phase in of["seconds"].values()]
                steps = ", ".join(
                    f"{step}: {slope['mean']:.2f} ± {slope['spread']:.2f}"
                    for step, slope in of["slopes"]["minimise"].items()
                )
                add(f"slope of a round's cost over {axis}, `{name}`", f"{steps} (n = {min(each)})", result)
    startup = results / "startup.json"
    if startup.exists():
        result = json.loads(startup.read_text())
        for name, of in result["seconds"].items():
            add(name, f"{_spread(of['each'])} s (n = {of['n']})", result)
    result = json.loads((results / "clicks.json").read_text())
    for name, of in result["pages"].items():
        taken = of["heading"]
        what = f"click to {name.title()} beside a run, to its heading"
        add(what, f"median {taken['median']:.2f} s, at most {taken['largest']:.2f} s (n = {taken['n']})", result)
    moves = results / "moves.json"
    if moves.exists():
        result = json.loads(moves.read_text())
        for name, of in result["seconds"].items():
            found = f"median {of['median']:.2f} s, at most {of['largest']:.2f} s (n = {of['n']})"
            add(f"{name}, beside a run", found, result)
    return "\n".join(lines)


def beside_rows(result: dict[str, Any]) -> list[tuple[str, str]]:
    """Defences beside other processes: the measurement, and seconds with the earlier and the present way of waiting."""
    titles = {"before": "threads that wait as OpenMP has them", "after": "as invmask has them"}
    rows: dict[str, list[str]] = {}
    for reading in result["readings"]:
        if reading["setting"] not in titles:
            continue
        rounds = "whole defence" if reading["rounds"] is None else f"{reading['rounds']} rounds"
        load = "idle" if reading["load"] == "idle" else f"beside {reading['load']}"
        if reading["cut_off"] == reading["n"]:
            found = f"not done in {reading['limit']:.0f} s"
        else:
            found = f"{_spread([one for one in reading['each'] if one is not None])} s"
            found += f", {reading['cut_off']} not done in {reading['limit']:.0f} s" if reading["cut_off"] else ""
        cells = rows.setdefault(f"{rounds} of `{reading['victim']}`, {load}", [])
        cells.append(f"{titles[reading['setting']]}: {found} (n = {reading['n']})")
    return [(what, "; ".join(cells)) for what, cells in rows.items()]


def _spread(values: list[float]) -> str:
    middle = statistics.median(values)
    digits = 1 if middle >= 1 else 3
    if len(values) == 1:
        return f"{middle:.{digits}f}"
    return f"median {middle:.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"
