"""What other libraries say does not reach the user; what we say does."""

import subprocess
import sys

CODE = """
import sys, warnings, logging
from vljepa.cli.main import main
main(["--version"])
warnings.warn("a library's warning")
warnings.warn("a deprecation", DeprecationWarning)
logging.getLogger("open_clip").warning("a library's log")
logging.warning("a careless library's log")
from transformers.utils import logging as theirs
theirs.get_logger("transformers.x").warning("kernels-community")
from huggingface_hub.utils import logging as hub
hub.get_logger("huggingface_hub.x").warning("hub")
from vljepa.errors import FileWarning
warnings.warn("'a.png' is flat", FileWarning)
"""


def said(*options):
    done = subprocess.run([sys.executable, *options, "-c", CODE], capture_output=True, text=True, check=True)
    return done.stderr


def test_only_our_own_notes_are_left():
    assert said() == "note: 'a.png' is flat\n"


def test_whoever_asks_for_warnings_has_them():
    assert "a library's warning" in said("-W", "default")
