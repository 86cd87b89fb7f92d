"""Environment of a run: package versions, hardware, and peak memory."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import psutil

from latentkit._version import __version__
from latentkit.registry.catalogue import Registry

_PACKAGES = ("torch", "torchvision", "numpy", "scipy", "scikit-learn", "safetensors")


def package_versions(names: tuple[str, ...] = _PACKAGES) -> dict[str, str]:
    """Return the versions of latentkit, Python and the packages that compute a run's numbers."""
    found = {"latentkit": __version__, "python": platform.python_version()}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "missing"
    return found


def hardware(device: str, threads: int) -> dict[str, Any]:
    """Return the system, processor, memory in bytes, and the device and threads in use."""
    facts = {
        "system": platform.platform(),
        "processor": _processor(),
        "cpus": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "device": device,
        "threads": threads,
    }
    if device.startswith("cuda"):
        import torch

        facts["device_name"] = torch.cuda.get_device_name(device)
    return facts


def plugin_versions(registry: Registry) -> dict[str, str]:
    """Return the version of each distribution whose plugins are loaded."""
    return {plugin.found.distribution: plugin.found.version for plugin in registry.plugins}


def peak_rss_bytes() -> int:
    """Return the peak resident memory of this process so far, in bytes."""
    try:
        import resource
    except ImportError:  # not on Windows
        return int(getattr(psutil.Process().memory_info(), "peak_wset", 0))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS, else KiB
    return peak if sys.platform == "darwin" else peak * 1024


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
