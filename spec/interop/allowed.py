"""What the comparisons share: the tables of allowed differences, and TAP."""

import fnmatch
import os

LINES_MAX = 25  # printed for one case


class Allowed:
    """Rows `what | path | reason` of a file; * in the first two stands for anything. A row that no difference
    needed is itself a failure, unless its reason begins with "sometimes: "."""

    def __init__(self, name):
        self.rows = []
        file = os.path.join(os.path.dirname(os.path.abspath(__file__)), name)
        with open(file, encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if not line.strip() or line.startswith("#"):
                    continue
                cells = [cell.strip() for cell in line.split(" | ")]
                if len(cells) != 3 or not all(cells):
                    raise SystemExit(f"{name}:{number}: want `what | path | reason`")
                self.rows.append([cells[0], cells[1], cells[2], f"{name}:{number}", 0])

    def reason(self, what, path):
        """Why a difference is allowed, or None. The row counts as used."""
        for row in self.rows:
            if matches(what, row[0]) and matches(path, row[1]):
                row[4] += 1
                return row[2]
        return None

    def unused(self):
        return [f"{row[3]}: no longer occurs: {row[0]} | {row[1]}" for row in self.rows
                if not row[4] and not row[2].startswith("sometimes: ")]


def matches(text, pattern):
    """fnmatch, where [ ] are only themselves."""
    return fnmatch.fnmatchcase(text, pattern.replace("[", "[[]"))


class Tap:
    """Cases counted and printed."""

    def __init__(self):
        self.number = self.failed = 0

    def case(self, name, problems):
        self.number += 1
        print(f"{'not ok' if problems else 'ok'} {self.number} - {name}", flush=True)
        for line in problems[:LINES_MAX]:
            print("# " + str(line).replace("\n", "\n# ")[:400], flush=True)
        if len(problems) > LINES_MAX:
            print(f"# and {len(problems) - LINES_MAX} more", flush=True)
        self.failed += bool(problems)

    def plan(self):
        print(f"1..{self.number}", flush=True)
