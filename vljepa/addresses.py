"""Addresses of the web and of cameras, as they may be shown."""

import re


def without_secrets(address: str, *, at_in_path: bool) -> str:
    """An address without what may be secret in it: a user, a password, a signature.

    A password may hold a raw `/`, `?` or `#`: then an `@` comes after what looks like the host. Nobody can tell that
    from an `@` in the path, so that all of it is hidden.

    Args:
        address: With its `://`.
        at_in_path: Paths may well hold an `@`: take it for a password's only where the host has a `:`.
    """
    kind, _, rest = address.partition("://")
    host = re.split("[/?#]", rest, maxsplit=1)[0]
    after = rest[len(host) :]
    if "@" in after and (":" in host or not at_in_path):
        return f"{kind}://..."
    path = re.split("[?#]", after, maxsplit=1)[0]
    return f"{kind}://{host.rpartition('@')[2]}{path}"
