"""Findings, and their tables in a Markdown page.

The generated part of a page has a block for each run that still has a row. A row that is measured again is removed from
the older block, so that figures of different runs are not mixed up.
"""

import re
import statistics
from dataclasses import dataclass, field

HEADER = "| row | of | this server | against | its figure | ratio | bar | met |\n|---|---|---|---|---|---|---|---|"


@dataclass
class Finding:
    """One line of a table. `ours` and `theirs` have a figure for each round; the ratio is that of the medians."""

    row: str
    of: str
    unit: str
    ours: list
    against: str = ""
    theirs: list = field(default_factory=list)
    at_least: float | None = None
    at_most: float | None = None
    note: str = ""

    @property
    def ratio(self):
        if not self.theirs:
            return None
        return statistics.median(self.ours) / statistics.median(self.theirs)

    @property
    def met(self):
        if self.ratio is None or self.at_least is None and self.at_most is None:
            return None
        return self.ratio >= self.at_least if self.at_least is not None else self.ratio <= self.at_most

    @property
    def key(self):
        """Returns the beginning of the same line in an older run."""
        return f"| `{self.row}` | {self.of}"

    def line(self):
        bar = f"≥ {self.at_least}" if self.at_least is not None else f"≤ {self.at_most}" if self.at_most else ""
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}" if self.ratio >= 0.1 else figure(self.ratio)
        met = {None: "", True: "yes", False: "**no**"}[self.met]
        note = f": {self.note}" if self.note else ""
        cells = [self.figures(self.ours), self.against, self.figures(self.theirs), ratio, bar, met]
        return f"{self.key}{note} | " + " | ".join(cells) + " |"

    def figures(self, rounds):
        """Returns the median, the minimum and the maximum."""
        if not rounds:
            return ""
        median = f"{figure(statistics.median(rounds))} {self.unit}"
        if len(rounds) == 1:
            return median
        return f"{median} ({figure(min(rounds))} to {figure(max(rounds))})"


def figure(number):
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def write(page, marker, block, replaced):
    """Inserts a run's block at the start of the part between the markers, and removes lines with one of the keys
    `replaced` from the blocks of older runs."""
    replaced = tuple(key + end for key in replaced for end in (" |", ":"))
    start, end = f"<!-- {marker}: generated -->\n", f"<!-- {marker}: end -->"
    text = page.read_text()
    head, middle, tail = re.fullmatch(f"(.*{re.escape(start)})(.*)({re.escape(end)}.*)", text, re.DOTALL).groups()
    older = re.split(r"(?m)^(?=### )", middle)[1:]
    kept = []
    for old in older:
        lines = [line for line in old.splitlines() if not line.startswith(replaced)]
        if any(line.startswith("| `") for line in lines):
            kept.append("\n".join(lines).rstrip() + "\n\n")
    page.write_text(f"{head}\n{block.rstrip()}\n\n{''.join(kept)}{tail}")
