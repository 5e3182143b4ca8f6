"""Repositories of the Hugging Face hub: downloaded once, pinned to a commit, and errors that say what to do."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from vljepa.errors import PartError

_COMMIT = re.compile(r"[0-9a-f]{40}")


def snapshot(repository: str, *, revision: str | None, files: Sequence[str], name: str | None = None) -> Path:
    """Local folder with a repository's files; offline once they are in the hub's cache.

    Args:
        repository: Its id, `owner/name`.
        revision: Branch, tag or commit; None is the default branch.
        files: Patterns of the files that are wanted; pickles are never among them.
        name: What errors call it; None is the id.

    Raises:
        PartError: A gated, missing or unreachable repository, or a download that broke off.
    """
    import huggingface_hub
    from huggingface_hub import errors

    shown = repr(name or repository)
    try:
        return Path(huggingface_hub.snapshot_download(repository, revision=revision, allow_patterns=list(files)))
    except errors.GatedRepoError as error:
        raise PartError(
            f"{shown} is gated: its owner grants access on request, and this machine has none.",
            fix="ask for access at the repository's page, then run `hf auth login`; "
            "or use the ungated preset base-open.",
        ) from error
    except errors.RevisionNotFoundError as error:
        raise PartError(f"{shown} has no revision {revision!r}.", fix="name a branch, tag or commit of it.") from error
    except (errors.RepositoryNotFoundError, errors.HFValidationError) as error:
        raise PartError(
            f"there is no repository {shown} on the hub, or it is private.",
            fix="check the spelling (owner/name); for a private one, run `hf auth login`.",
        ) from error
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled, ConnectionError) as error:
        raise PartError(
            f"{shown} is not in the local hub cache, and the hub cannot be reached.",
            fix="connect once (and unset HF_HUB_OFFLINE); or use the preset mini, whose parts come with pip.",
        ) from error
    except OSError as error:
        summary = str(error).strip().splitlines()
        raise PartError(
            f"{shown} could not be downloaded: {summary[0] if summary else type(error).__name__}.",
            fix="try again; finished files are kept.",
        ) from error


def commit_of(folder: Path) -> str | None:
    """Commit that a folder from `snapshot` holds; None for any other folder.

    Example:
        >>> commit_of(Path("models--a--b/snapshots/0123456789abcdef0123456789abcdef01234567"))
        '0123456789abcdef0123456789abcdef01234567'
    """
    return folder.name if folder.parent.name == "snapshots" and _COMMIT.fullmatch(folder.name) else None
