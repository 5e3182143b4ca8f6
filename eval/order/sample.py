"""Put the test clips that the tests carry into the clone: ``python -m eval.order.sample CLIPS``.

The first clips of the test, in their order, that are asked about a direction, about what came first and about what
vanished, as many of each; with those questions.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path

from eval.harness.suite import ROOT

TARGET = ROOT / "tests" / "assets" / "mini_clips"
TYPES = ("direction", "first side", "vanished side")
EACH = 12


def main(arguments: list[str]) -> int:
    """Copy clips and write their questions."""
    parser = argparse.ArgumentParser(prog="python -m eval.order.sample", description=__doc__)
    parser.add_argument("clips", type=Path, help="folder that recipes/mini/clips.py has written")
    folder = parser.parse_args(arguments).clips
    rows = [json.loads(line) for line in (folder / "questions.test.jsonl").read_text(encoding="utf-8").splitlines()]
    kept = [row for kind in TYPES for row in [row for row in rows if row["type"] == kind][:EACH]]
    TARGET.mkdir(parents=True, exist_ok=True)
    for row in kept:
        name = Path(row["video"]).name
        shutil.copyfile(folder / row["video"], TARGET / name)
        row["video"] = name
    lines = "".join(json.dumps(row) + "\n" for row in kept)
    (TARGET / "questions.jsonl").write_text(lines, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
