"""Loader processes leave signals to the process that started them, which still needs their batches to end well."""

from __future__ import annotations

import signal

from vljepa.stop_signals import STOP_SIGNALS


def ignore_signals(worker: int) -> None:
    """For `DataLoader(worker_init_fn=...)`: Ctrl-C and schedulers signal every process of a job, loaders included.

    Args:
        worker: Number of the loader process.
    """
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
