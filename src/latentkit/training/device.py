"""Device, threads and precision of computations.

torch marks or wraps the methods of its optimisers so that ``torch.compile`` skips them. Both the
first call of a marked method and the wrapper of ``step`` import the compiler and all that it needs
(sympy, triton, torch.onnx). This costs 150 MB, and seconds of every run.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import psutil
import torch
from torch import nn
from torch.optim import Optimizer

from latentkit.errors import BrokenEnvironmentError
from latentkit.neighbors.threads import numba_threads
from latentkit.plugin.machine import Device, usable_cpus

_MARK = "__dynamo_disable"  # set by torch._compile; if torch renames it, the compiler is imported


@contextmanager
def without_compiler() -> Iterator[None]:
    """Mark the methods of torch's optimisers, and remove the marks at the end.

    If the compiler is already imported, nothing happens. If it is imported within the context, it
    works, except for optimisers in compiled code.
    """
    unmarked = [] if "torch._dynamo" in sys.modules else list(_unmarked_methods())
    for method in unmarked:
        setattr(method, _MARK, method)
    try:
        yield
    finally:
        for method in unmarked:
            if getattr(method, _MARK, None) is method:
                delattr(method, _MARK)


def _unmarked_methods() -> Iterator[Callable[..., Any]]:
    for member in vars(Optimizer).values():
        method = getattr(member, "__wrapped__", None)
        if method is not None and not hasattr(method, _MARK):
            yield method


@torch.no_grad()
def take_step(optimizer: Optimizer) -> None:
    """Run ``optimizer.step()`` without its hooks and without its wrappers for the compiler."""
    inspect.unwrap(type(optimizer).step)(optimizer)


Precision = Literal["float32", "bfloat16"]

LEAST_FOR_BFLOAT16 = 100_000
"""Number of parameters from which a CPU trains a network faster in bfloat16."""

_LARGEST_BLOCK = 32 * 2**20 - 2**16  # bytes; glibc's DEFAULT_MMAP_THRESHOLD_MAX minus a header


def resolve_device(wanted: Device) -> torch.device:
    """Return the requested device; ``auto`` prefers CUDA, then MPS, then the CPU.

    Raises:
        BrokenEnvironmentError: the requested device is not available.
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
            f"there is no {wanted} device here for torch {torch.__version__}, only {found}; "
            f"use --device auto"
        )
    return torch.device(wanted)


def gpu_names() -> list[str]:
    """Return how the machine names the GPUs of this process, such as ``0``, in torch's order.

    ``CUDA_VISIBLE_DEVICES`` chooses them; without it, they are the machine's GPUs by number.
    """
    stated = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    names = [one.strip() for one in stated if one.strip()]
    return names or list(map(str, range(torch.cuda.device_count())))


def device_text(device: torch.device) -> str:
    """Return the device in use in words, such as ``GPU 1 (NVIDIA H200)`` or ``cpu``."""
    if device.type != "cuda":
        return device.type
    number = torch.cuda.current_device()
    return f"GPU {gpu_names()[number]} ({torch.cuda.get_device_name(number)})"


def device_at_hand(recorded: Device) -> torch.device:
    """Return the device to resume on: the recorded one, or the best that is available."""
    try:
        return resolve_device(recorded)
    except BrokenEnvironmentError:
        return resolve_device("auto")


def resolve_precision(wanted: str, device: torch.device, network: nn.Module) -> Precision:
    """Return the precision of training; ``auto`` takes bfloat16 if the hardware multiplies it.

    That hardware is CUDA with compute capability 8.0 or higher, and CPUs with AMX or AVX-512 BF16.
    On those CPUs, networks of fewer parameters than `LEAST_FOR_BFLOAT16` stay in float32: their
    layers are so narrow that converting costs more than it saves. docs/measurements.md has the
    measurement.
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
    """Return whether torch reports bfloat16 instructions for this CPU."""
    asked = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return any(bool(getattr(torch.cpu, name, bool)()) for name in asked)


def resolve_threads(wanted: int) -> int:
    """Return the number of CPU threads: ``wanted``, or for 0 one for each usable CPU.

    For 0, a user or a cluster can set ``OMP_NUM_THREADS`` to have fewer.
    """
    stated = os.environ.get("OMP_NUM_THREADS", "")
    limit = int(stated) if stated.isdigit() and int(stated) else usable_cpus()
    return wanted or min(limit, usable_cpus())


@contextmanager
def repeatable(device: torch.device, threads: int) -> Iterator[None]:
    """Compute with ``threads`` threads and deterministic algorithms until the ``with`` block ends.

    Code that numba compiles has as many threads as torch.
    At the end, the previous settings and torch's random state are restored, but the effect of
    `keep_freed_memory` remains. torch's compiler is not imported, see `without_compiler`.

    Sums depend on the number of threads, so two runs are equal only with the same number.
    """
    before = (
        torch.get_num_threads(),
        torch.get_deterministic_debug_mode(),
        torch.backends.cudnn.benchmark,
        torch.utils.deterministic.fill_uninitialized_memory,  # type: ignore[attr-defined]
    )
    random_state = torch.get_rng_state()
    # cuBLAS reads it when it creates its first handle.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(threads)
    torch.backends.cudnn.benchmark = False
    # Writing NaN into every new tensor would take a tenth of a step of a small network.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    # use_deterministic_algorithms also imports torch's compiler, which takes seconds.
    torch.set_deterministic_debug_mode("error" if device.type == "cpu" else "warn")
    if device.type == "cpu":
        keep_freed_memory()
    try:
        with without_compiler(), numba_threads(threads):
            yield
    finally:
        torch.set_rng_state(random_state)
        torch.set_num_threads(before[0])
        torch.set_deterministic_debug_mode(before[1])
        torch.backends.cudnn.benchmark = before[2]
        torch.utils.deterministic.fill_uninitialized_memory = before[3]  # type: ignore[attr-defined]


def keep_freed_memory() -> None:
    """Make the C library keep the memory that a step frees, so that the next step reuses it.

    By default, glibc returns large blocks and the free top of its heap to the system. The system
    then has to clear every page again for each step's tensors. glibc's limits (mallopt(3),
    M_MMAP_THRESHOLD) rise with the largest block that was ever freed, up to 32 MiB; then glibc
    keeps up to 64 MiB. So this function frees one such block, without writing to it. With other C
    libraries, this has no effect.
    """
    torch.empty(_LARGEST_BLOCK, dtype=torch.uint8)  # freed at once


def peak_rss_bytes() -> int:
    """Return the peak resident memory of this process so far, in bytes."""
    try:
        import resource
    except ImportError:  # not on Windows
        return int(getattr(psutil.Process().memory_info(), "peak_wset", 0))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS, else KiB
    return peak if sys.platform == "darwin" else peak * 1024


class MemoryMeter:
    """Meter of the memory that a process takes while it trains.

    The system knows the largest memory of a process only since its start. If that grew after the
    meter was made, it is the answer. If not, something before took more, and the answer is the
    largest of the samples that were taken, which may miss the top of a step.

    Args:
        device: where the model is. On CUDA, the count of the device's memory starts again.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._before = peak_rss_bytes()
        self._process = psutil.Process()
        self._largest = 0
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)

    def sample(self) -> None:
        """Look at the memory once."""
        self._largest = max(self._largest, int(self._process.memory_info().rss))

    def peak(self) -> tuple[int, int]:
        """Return the largest memory of process and device since the start, in bytes.

        The device's is 0 if it is not a CUDA device.
        """
        self.sample()
        peak = peak_rss_bytes()
        on_device = self._device.type == "cuda"
        return (
            peak if peak > self._before else self._largest,
            int(torch.cuda.max_memory_allocated(self._device)) if on_device else 0,
        )
