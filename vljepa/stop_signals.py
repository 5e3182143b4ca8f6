"""Signals that ask a command to end: those of them that the system has."""

import signal

STOP_SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGUSR1") if hasattr(signal, name))
"""Windows has no SIGUSR1."""
