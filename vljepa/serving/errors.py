"""What is wrong with a request, with the status that says so."""

from __future__ import annotations

from vljepa.errors import VLJEPAError


class RequestError(VLJEPAError):
    """A request that cannot be answered as it is."""

    status = 400


class TooLargeError(RequestError):
    """More than the server takes at once."""

    status = 413
