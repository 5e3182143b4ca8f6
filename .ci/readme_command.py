"""Print the command of README.md that sets up and tests: the code block whose fence says that .ci/run runs it."""

import re
import sys
from pathlib import Path

text = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
blocks = re.findall(r"^```bash not-run: \.ci/run runs this[^\n]*\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
if len(blocks) != 1:
    sys.exit(f"README.md has {len(blocks)} code blocks that .ci/run runs, expected one")
print(blocks[0].strip())
