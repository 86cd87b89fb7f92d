"""Devices, and the memory and processors that this process may take, whoever limits them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Literal

from latentkit import errors

Device = Literal["auto", "cpu", "cuda", "mps"]
DEVICES: tuple[Device, ...] = ("auto", "cpu", "cuda", "mps")

_CGROUPS = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")


def available_memory_bytes() -> int:
    """Return how many more bytes of memory this process may take.

    This is the least of the system's free memory, the rest of a container's limit (control
    groups, version 1 or 2), and the rest of an address-space limit (``ulimit -v``).
    """
    import psutil

    free = [psutil.virtual_memory().available, *_control_groups(), *_address_space()]
    return max(0, min(free))


def _address_space() -> Iterator[int]:
    try:
        import resource
    except ImportError:  # not on Windows
        return
    import psutil

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY:
        yield limit - psutil.Process().memory_info().vms


def _control_groups() -> Iterator[int]:
    """Yield the bytes left in each control group of this process and in the groups above it."""
    try:
        lines = _MEMBERSHIP.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if controllers == "":
            root, limit, usage = _CGROUPS, "memory.max", "memory.current"
        elif "memory" in controllers.split(","):
            root, limit, usage = (
                _CGROUPS / "memory",
                "memory.limit_in_bytes",
                "memory.usage_in_bytes",
            )
        else:
            continue
        # A container may see its own group as the root, so folders that do not exist are skipped.
        inside = PurePosixPath(group).relative_to("/")
        for folder in (root / inside, *(root / parent for parent in inside.parents)):
            yield from _group_left(folder, limit, usage)


def _group_left(folder: Path, limit: str, usage: str) -> Iterator[int]:
    try:
        most = (folder / limit).read_text(encoding="ascii").strip()
        used = int((folder / usage).read_text(encoding="ascii"))
        statistics = (folder / "memory.stat").read_text(encoding="ascii")
    except (OSError, ValueError):
        return
    if most == "max":
        return
    fields = dict(line.split(" ", 1) for line in statistics.splitlines())
    # The kernel frees inactive pages of cached files before it refuses memory.
    reclaimable = int(fields.get("total_inactive_file", fields.get("inactive_file", 0)))
    yield int(most) - used + reclaimable


def check_memory(
    size: int, what: str, remedy: str = "use a smaller file or a larger machine"
) -> None:
    """Refuse to read what does not fit into the free memory.

    Args:
        size: number of bytes that are needed.
        what: what needs them, for the error.
        remedy: what the user can do, for the error.

    Raises:
        latentkit.errors.ResourceError: less memory is free.
    """
    free = available_memory_bytes()
    if size > free:
        raise errors.ResourceError(
            f"{what} needs {size / 2**30:,.1f} GiB of memory, and {free / 2**30:,.1f} GiB are "
            f"free: {remedy}"
        )


def usable_cpus() -> int:
    """Return how many CPUs this process may use: its affinity, limited by a container's quota."""
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
