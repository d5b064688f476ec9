"""Put the tables made from raw results into README, between its markers: python -m benchmarks.readme."""

import json
import re
from pathlib import Path

from benchmarks import quality

ROOT = Path(__file__).parents[1]


def victims() -> str:
    """ACC / ASR / RA of every embedded victim on the full test set, from the cards."""
    lines = ["| victim | ACC | ASR | RA | n | trained on |", "| --- | --- | --- | --- | --- | --- |"]
    for path in sorted((ROOT / "assets" / "victims").glob("*.json")):
        card = json.loads(path.read_text())
        cells = " | ".join("" if card[key] is None else f"{card[key] * 100:.1f} %" for key in ("acc", "asr", "ra"))
        lines.append(f"| `{card['name']}` | {cells} | {card['n_test']:,} | {card['machine']} |")
    return "\n".join(lines)


def quality_table() -> str:
    """The table of benchmarks/quality.py with what it was measured on."""
    cases = quality.read_cases(quality.RESULTS)
    machines = sorted({f"{case['machine']}, {case['precision']}, {case['threads']} thread" for case in cases})
    head = (
        "On all 2,000 embedded test images (1,800 of them triggered), in per cent, mean ± standard deviation over "
        "seeds; "
        f"{'; '.join(machines)}, the other core busy. "
        "Raw results: [benchmarks/results/quality](benchmarks/results/quality), made by "
        "`python -m benchmarks.quality`."
    )
    return f"{head}\n\n{quality.make_table(cases)}"


def ceiling_table() -> str:
    """What a network that never saw a trigger makes of it, and what a mask does that was learned with it in hand."""
    titles = "| trigger | clean control: ACC, its RA | oracle mask: ACC, ASR, RA | n |"
    lines = [titles, "| --- | --- | --- | --- |"]
    for path in sorted((quality.RESULTS.parent / "ceiling").glob("*.json")):
        found = json.loads(path.read_text())
        control = " / ".join(f"{found['control'][key] * 100:.1f}" for key in ("acc_same_images", "ra"))
        oracle = " / ".join(f"{found['oracle'][key] * 100:.1f}" for key in ("acc_same_images", "asr", "ra"))
        attack = found["victim"].rpartition("-")[2]
        lines.append(f"| {attack} | {control} | {oracle} | {found['oracle']['n_triggered']:,} |")
    return "\n".join(lines)


def main() -> None:
    """Rewrite README's tables."""
    file = ROOT / "README.md"
    text = file.read_text()
    for name, table in (("victims", victims()), ("quality", quality_table()), ("ceiling", ceiling_table())):
        pattern = rf"(<!-- numbers: {name} -->\n).*?(<!-- /numbers: {name} -->)"
        text = re.sub(pattern, lambda match, table=table: f"{match[1]}{table}\n{match[2]}", text, flags=re.DOTALL)
    file.write_text(text)


if __name__ == "__main__":
    main()
