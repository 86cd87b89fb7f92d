"""Where to compute, with how many threads, in which precision."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from latentkit.config import Device
from latentkit.errors import BrokenEnvironmentError
from latentkit.training.uncompiled import without_compiler

Precision = Literal["float32", "bfloat16"]

LEAST_FOR_BFLOAT16 = 100_000
"""Parameters of the smallest network that a CPU trains faster in bfloat16."""

_LARGEST_BLOCK = 32 * 2**20 - 2**16  # bytes; glibc's DEFAULT_MMAP_THRESHOLD_MAX, less its header


def resolve_device(wanted: Device) -> torch.device:
    """Return the device that is meant; ``auto`` takes CUDA, then MPS, then the CPU.

    Raises:
        BrokenEnvironmentError: the device that was asked for is not there.
    """
    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if wanted == "auto":
        return torch.device(next(name for name, found in there.items() if found))
    if not there[wanted]:
        found = ", ".join(name for name, is_there in there.items() if is_there)
        raise BrokenEnvironmentError(
            f"there is no {wanted} device here for torch {torch.__version__}; there is {found}: "
            f"say --device auto"
        )
    return torch.device(wanted)


def device_at_hand(recorded: Device) -> torch.device:
    """Return the device to go on with what was begun on another: that one, or what is there."""
    try:
        return resolve_device(recorded)
    except BrokenEnvironmentError:
        return resolve_device("auto")


def resolve_precision(wanted: str, device: torch.device, network: nn.Module) -> Precision:
    """Return the precision of training; ``auto`` takes bfloat16 where hardware multiplies it.

    That is CUDA with compute capability 8.0, and CPUs with AMX or AVX-512 BF16. On those CPUs
    networks of fewer parameters than `LEAST_FOR_BFLOAT16` stay in float32: their layers are so
    narrow that converting costs more than it saves. docs/measurements.md has the measurement.
    """
    if wanted != "auto":
        return "bfloat16" if wanted == "bfloat16" else "float32"
    if device.type == "cuda":
        fast = torch.cuda.get_device_capability()[0] >= 8
    else:
        wide = sum(p.numel() for p in network.parameters()) >= LEAST_FOR_BFLOAT16
        fast = device.type == "cpu" and wide and _cpu_multiplies_bfloat16()
    return "bfloat16" if fast else "float32"


def _cpu_multiplies_bfloat16() -> bool:
    """Return whether this CPU has instructions for it, as far as this torch can tell."""
    asked = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return any(bool(getattr(torch.cpu, name, bool)()) for name in asked)


def resolve_threads(wanted: int) -> int:
    """Return the number of CPU threads: ``wanted``, or for 0 all that this process may use.

    ``OMP_NUM_THREADS`` is how a user or a cluster says that it shall be fewer.
    """
    stated = os.environ.get("OMP_NUM_THREADS", "")
    limit = int(stated) if stated.isdigit() and int(stated) else usable_cpus()
    return wanted or min(limit, usable_cpus())


def usable_cpus() -> int:
    """Return how many CPUs this process may use: its affinity, cut by a container's quota."""
    try:
        count = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        count = os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        count = min(count, max(1, int(quota) // int(period)))
    except (OSError, ValueError):  # no cgroup, or "max"
        pass
    return count


@contextmanager
def repeatable(device: torch.device, threads: int) -> Iterator[None]:
    """Compute with ``threads`` threads and repeatable algorithms.

    What was set before, torch's random state included, is put back at the end, save for what
    `keep_freed_memory` does. torch's compiler is not imported, see `without_compiler`.

    Sums depend on the number of threads, so it belongs to what makes two runs equal.
    """
    before = (
        torch.get_num_threads(),
        torch.get_deterministic_debug_mode(),
        torch.backends.cudnn.benchmark,
        torch.utils.deterministic.fill_uninitialized_memory,  # type: ignore[attr-defined]
    )
    random_state = torch.get_rng_state()
    # cuBLAS reads it when its first handle is made.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(threads)
    torch.backends.cudnn.benchmark = False
    # It would write NaN into every new tensor, a tenth of the time of a step on small networks.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    # use_deterministic_algorithms sets the same, and imports torch's compiler: seconds.
    torch.set_deterministic_debug_mode("error" if device.type == "cpu" else "warn")
    if device.type == "cpu":
        keep_freed_memory()
    try:
        with without_compiler():
            yield
    finally:
        torch.set_rng_state(random_state)
        torch.set_num_threads(before[0])
        torch.set_deterministic_debug_mode(before[1])
        torch.backends.cudnn.benchmark = before[2]
        torch.utils.deterministic.fill_uninitialized_memory = before[3]  # type: ignore[attr-defined]


def keep_freed_memory() -> None:
    """Let the C library keep the memory that a step frees, for the next step.

    glibc gives large blocks and the free top of its heap back to the system, which then has to
    clear every page of each step's tensors anew. Its limits (mallopt(3), M_MMAP_THRESHOLD) rise
    with the largest block that was ever freed, up to 32 MiB; then up to 64 MiB are kept. So one
    such block is freed. It is never written to, and elsewhere it is without effect.
    """
    torch.empty(_LARGEST_BLOCK, dtype=torch.uint8)  # freed at once
