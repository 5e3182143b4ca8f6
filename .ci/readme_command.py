"""Print the command of README.md's code block whose info string is `bash NAME`."""

import re
import sys
from pathlib import Path

text = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
blocks = re.findall(rf"^```bash {re.escape(sys.argv[1])}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
if len(blocks) != 1:
    sys.exit(f"README.md has {len(blocks)} code blocks named {sys.argv[1]!r}, expected one")
print(blocks[0].strip())
