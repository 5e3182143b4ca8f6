"""For tests of many processes: groups of them, and the environment that `accelerate launch` gives them."""

from __future__ import annotations

import multiprocessing
import os
import socket
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest import mock

from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils.launch import prepare_multi_gpu_env

COLLECTIVE = timedelta(seconds=4)
"""Timeout of a collective in `run_processes`: far below that of a real run, so that waiting in one for long fails."""
CONFIGS = Path(__file__).parents[1] / "recipes" / "accelerate"


def launch_environment(config: str) -> dict[str, str]:
    """What `accelerate launch --config_file recipes/accelerate/CONFIG` adds to the environment of two processes."""
    given = ["--config_file", str(CONFIGS / config), "--num_processes", "2", "train.py"]
    with mock.patch.dict(os.environ):
        arguments, _, _ = _validate_launch_command(launch_command_parser().parse_args(given))
        made = prepare_multi_gpu_env(arguments)
    return {name: value for name, value in made.items() if name.startswith(("ACCELERATE_USE_FSDP", "FSDP_"))}


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def run_processes(work: Callable[..., None], *given: Any, count: int = 2, timeout: float = 120.0) -> list[int | None]:
    """Run `work(rank, *given)` in processes of one gloo group, none of which is ended when another one is.

    Returns:
        Their exit codes; that of a signal is negative, and None is one that did not end in time and was killed.
    """
    context = multiprocessing.get_context("spawn")
    port = free_port()
    processes = [context.Process(target=_in_group, args=(rank, count, port, work, given)) for rank in range(count)]
    for process in processes:
        process.start()
    until = time.monotonic() + timeout
    for process in processes:
        process.join(max(0.0, until - time.monotonic()))
    codes = [process.exitcode for process in processes]
    for process in processes:
        process.kill()
        process.join()
    return codes


def _in_group(rank: int, count: int, port: int, work: Callable[..., None], given: Sequence[Any]) -> None:
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    os.environ |= {"LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": str(count)}
    store = dist.TCPStore("127.0.0.1", port, count, is_master=rank == 0, timeout=timedelta(seconds=60))
    store.set(f"begun/{rank}", "")
    store.wait([f"begun/{other}" for other in range(count)])  # on a busy machine one may be much later
    dist.init_process_group("gloo", store=store, rank=rank, world_size=count, timeout=COLLECTIVE)
    dist.barrier()
    work(rank, *given)
    dist.destroy_process_group()
