"""Tables of the suite `mini_order`.

python eval/run.py mini_order --model mini-video --data data/mini
python -m eval.order report eval/results/mini_order.mini-video.json --tables docs/order.md
"""

from __future__ import annotations

import sys

from eval.command import report_parser
from eval.order.report import write_report


def main(arguments: list[str]) -> int:
    """Write the report."""
    shown = report_parser("eval.order").parse_args(arguments[1:] if arguments[:1] == ["report"] else arguments)
    write_report(shown.result, tables=shown.tables)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
