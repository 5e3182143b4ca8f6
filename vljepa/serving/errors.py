"""What is wrong with a request, with the status that says so."""

from __future__ import annotations

from vljepa.errors import VLJEPAError


class RequestError(VLJEPAError):
    """A request that cannot be answered as it is.

    Attributes:
        status: Of HTTP.
        kind: What OpenAI's clients read as the error's type.
        retry_after: Seconds after which it may be sent again; None where that does not help.
    """

    status = 400
    kind = "invalid_request_error"
    retry_after: int | None = None


class MissingError(RequestError):
    """Something that this server does not have."""

    status = 404


class TooLargeError(RequestError):
    """More than the server takes at once."""

    status = 413


class TooSlowError(RequestError):
    """An answer that took longer than a request may."""

    status = 504
    kind = "timeout_error"


class UnavailableError(RequestError):
    """A model that cannot be used now."""

    status = 503
    kind = "server_error"
    retry_after = 1
