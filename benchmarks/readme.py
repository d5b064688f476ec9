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
        f"{'; '.join(machines)}. Raw results: [benchmarks/results/quality](benchmarks/results/quality), made by "
        "`python -m benchmarks.quality`."
    )
    return f"{head}\n\n{quality.make_table(cases)}"


def main() -> None:
    """Rewrite README's tables."""
    file = ROOT / "README.md"
    text = file.read_text()
    for name, table in (("victims", victims()), ("quality", quality_table())):
        pattern = rf"(<!-- numbers: {name} -->\n).*?(<!-- /numbers: {name} -->)"
        text = re.sub(pattern, lambda match, table=table: f"{match[1]}{table}\n{match[2]}", text, flags=re.DOTALL)
    file.write_text(text)


if __name__ == "__main__":
    main()
