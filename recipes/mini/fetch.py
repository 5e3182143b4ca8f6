"""Gets the packages that carry the images, through the registries' own clients, and unpacks what is needed."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console

from recipes.mini.records import PrepareError

CONSOLE = Console(stderr=True)


@dataclass(frozen=True, kw_only=True)
class Package:
    """One pinned package: who delivers it, the file it comes as, and the parts of it that we use."""

    client: Literal["npm", "pip", "apt"]
    name: str
    version: str
    file: str
    sha256: str
    members: tuple[str, ...]


PACKAGES: dict[str, Package] = {
    "google": Package(
        client="npm",
        name="emoji-datasource-google",
        version="16.0.0",
        file="emoji-datasource-google-16.0.0.tgz",
        sha256="fb5fd131b362aab7a55542d2a147a79708cce0a8b1c1bbacd470172708b5c438",
        members=("package/img/google/64/", "package/emoji.json"),
    ),
    "twitter": Package(
        client="npm",
        name="emoji-datasource-twitter",
        version="16.0.0",
        file="emoji-datasource-twitter-16.0.0.tgz",
        sha256="f64a530c63bca463bd8317fdc4615ce63a53a0c65018e4ce2d848aaba7a28877",
        members=("package/img/twitter/64/", "package/emoji.json"),
    ),
    "fluent": Package(
        client="npm",
        name="@lobehub/fluent-emoji-3d",
        version="1.1.0",
        file="lobehub-fluent-emoji-3d-1.1.0.tgz",
        sha256="c1bb7eee7de090205a232518a9ab4adb3df458bfbe8a1f78232991194c8b2e58",
        members=("package/assets/",),
    ),
    "emojibase": Package(
        client="npm",
        name="emojibase-data",
        version="17.0.0",
        file="emojibase-data-17.0.0.tgz",
        sha256="d01d0e2ca4e22cb402679532155342c71e2e871f25c32223c013b8b166ebdf5a",
        members=("package/en/",),
    ),
    "clipart": Package(
        client="apt",
        name="openclipart-png",
        version="1:0.18+dfsg-19",
        file="openclipart-png_1%3a0.18+dfsg-19_all.deb",
        sha256="f07f1545a2970c2cf3fa339bc2405da1a95cf2b1827bfa05bf73eb1c20291c02",
        members=(),
    ),
    "easy_vqa": Package(
        client="pip",
        name="easy-vqa",
        version="1.0",
        file="easy_vqa-1.0-py3-none-any.whl",
        sha256="fcb51b309b78c7b00f97b64cdbcbcf5c105f94da1b39c0796cee5a787c4f650f",
        members=("easy_vqa/data/",),
    ),
}

_ANIMATED_SHA256 = (
    "4c03ac178c1eabf2e2a16dd498f3cc2b92dc30ec3466ae38fdc497d4774c99ea",
    "e431da8172e394036c330faa77648d6fbbae1fd3b0be95637c4497c9075019c0",
    "3624d0c34c819c1794b74ccf6ae9034adff7c4cb6318dd2a645145f0196feb43",
    "3d4c08f1e321f70808ef4996aba0ab575a9d97b6c56ffffc92cf6161a7836aa3",
)
ANIMATED: dict[str, Package] = {
    f"animated_{number}": Package(
        client="npm",
        name=f"@lobehub/fluent-emoji-anim-{number}",
        version="1.0.0",
        file=f"lobehub-fluent-emoji-anim-{number}-1.0.0.tgz",
        sha256=sha256,
        members=("package/assets/",),
    )
    for number, sha256 in enumerate(_ANIMATED_SHA256, start=1)
}
"""Real animations, only measured on: recipes/mini/animations.py."""

LEXICON: dict[str, Package] = {
    "wordnet": Package(
        client="apt",
        name="wordnet-base",
        version="1:3.0-37",
        file="wordnet-base_1%3a3.0-37_all.deb",
        sha256="61060d960f9ada8fa120872312eccd3ecebfbab8c4579e4f5a74e1cf67620752",
        members=(),
    ),
}
"""WordNet: recipes/mini/taxonomy.py."""


HINTS = {
    "npm": "check the network and npm's registry setting",
    "pip": "check the network and pip's index setting",
    "apt": "run 'apt-get update' first (another release of the system may carry another version)",
}


def client_command(package: Package) -> list[str]:
    """Return the command that downloads ``package`` into the current folder."""
    if package.client == "npm":
        return ["npm", "pack", f"{package.name}@{package.version}"]
    if package.client == "pip":
        return [sys.executable, "-m", "pip", "download", "--no-deps", f"{package.name}=={package.version}"]
    return ["apt-get", "download", f"{package.name}={package.version}"]


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def download(package: Package, folder: Path) -> Path:
    """Return the verified package file in ``folder``, downloading it when it is not there."""
    for place in (folder / package.file, folder / package.client / package.file):
        if place.is_file():
            verify(package, place)
            return place
    command = client_command(package)
    if shutil.which(command[0]) is None:
        raise PrepareError(
            f"{package.name} {package.version} comes through {package.client!r}, but the command {command[0]!r} is "
            f"not installed; install it, or put {package.file} into the folder given with --downloads"
        )
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".get-") as place_name:
        with CONSOLE.status(f"{package.client}: {package.name} {package.version}"):
            done = subprocess.run(command, cwd=place_name, capture_output=True, text=True, check=False)
        found = sorted(path for path in Path(place_name).iterdir() if path.is_file())
        if done.returncode != 0 or len(found) != 1:
            tail = "\n".join((done.stderr or done.stdout).strip().splitlines()[-5:])
            raise PrepareError(
                f"could not download {package.name} {package.version}: {' '.join(command)} said\n{tail}\n"
                f"{HINTS[package.client]}, or put {package.file} into the folder given with --downloads"
            )
        verify(package, found[0])
        os.replace(found[0], folder / package.file)
    return folder / package.file


def verify(package: Package, path: Path) -> None:
    """Raise unless the file has the pinned SHA-256."""
    got = sha256_of(path)
    if got != package.sha256:
        raise PrepareError(
            f"{path} is not the {package.name} {package.version} that this recipe was written for: SHA-256 is {got}, "
            f"expected {package.sha256}; remove the file and try again"
        )


def wanted(package: Package, name: str) -> bool:
    """Tell whether the archive member ``name`` is one that we use."""
    return name.startswith(package.members) and not name.endswith(".d.ts")


def unpack(package: Package, archive: Path, target: Path) -> None:
    """Unpack the wanted members of ``archive`` into ``target``."""
    if package.client == "npm":
        with tarfile.open(archive) as tar:
            tar.extractall(target, [member for member in tar if wanted(package, member.name)], filter="data")
    elif package.client == "pip":
        with zipfile.ZipFile(archive) as wheel:
            wheel.extractall(target, [name for name in wheel.namelist() if wanted(package, name)])
    else:
        if shutil.which("dpkg-deb") is None:
            raise PrepareError(f"{archive.name} needs the command 'dpkg-deb' to unpack; install the package 'dpkg'")
        subprocess.run(["dpkg-deb", "-x", str(archive), str(target)], check=True)


def get(key: str, *, downloads: Path, cache: Path, say: Callable[[str], None] = lambda _: None) -> Path:
    """Return the folder with the unpacked package ``key``; what is there already is not fetched again."""
    package = (PACKAGES | ANIMATED | LEXICON)[key]
    target = cache / f"{key}-{package.sha256[:12]}"
    if target.is_dir():
        return target
    say(f"{package.name} {package.version} ({package.client})")
    archive = download(package, downloads)
    cache.mkdir(parents=True, exist_ok=True)
    # Unpacked beside its place and renamed: an interrupted run leaves no folder that looks complete.
    half = Path(tempfile.mkdtemp(dir=cache, prefix=".half-"))
    try:
        unpack(package, archive, half)
        os.replace(half, target)
    finally:
        shutil.rmtree(half, ignore_errors=True)
    return target
