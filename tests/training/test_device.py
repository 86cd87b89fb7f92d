import platform
import subprocess
import sys

import numpy as np
import pytest
import torch

from latentkit.errors import BrokenEnvironmentError
from latentkit.plugin.machine import usable_cpus
from latentkit.training.device import (
    MemoryMeter,
    device_at_hand,
    repeatable,
    resolve_device,
    resolve_precision,
    resolve_threads,
)


def test_the_cpu_is_always_available():
    assert resolve_device("cpu") == torch.device("cpu")


def test_auto_chooses_an_available_device():
    assert resolve_device("auto").type in ("cpu", "cuda", "mps")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_a_missing_device_is_refused_with_a_list_of_available_ones():
    with pytest.raises(
        BrokenEnvironmentError, match=r"there is no cuda device.*cpu.*--device auto"
    ):
        resolve_device("cuda")


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="there is an MPS device here")
def test_a_missing_device_is_replaced_by_an_available_one_on_resume():
    assert device_at_hand("mps") == resolve_device("auto")
    assert device_at_hand("cpu") == CPU


CPU = torch.device("cpu")
WIDE, NARROW = torch.nn.Linear(400, 300), torch.nn.Linear(40, 30)


@pytest.mark.parametrize("network", [WIDE, NARROW])
def test_precision_can_be_forced(network):
    assert resolve_precision("float32", CPU, network) == "float32"
    assert resolve_precision("bfloat16", CPU, network) == "bfloat16"


@pytest.mark.parametrize("has", ["_is_amx_tile_supported", "_is_avx512_bf16_supported"])
def test_auto_chooses_bfloat16_for_wide_networks_if_the_cpu_multiplies_it(monkeypatch, has):
    for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda name=name: name == has, raising=False)
    assert resolve_precision("auto", CPU, WIDE) == "bfloat16"
    assert resolve_precision("auto", CPU, NARROW) == "float32"


def test_auto_chooses_float32_if_bfloat16_is_missing_or_torch_cannot_tell(monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False, raising=False)
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported", raising=False)
    assert resolve_precision("auto", CPU, WIDE) == "float32"


def test_all_allowed_threads_are_used_unless_a_number_is_given(monkeypatch):
    assert resolve_threads(3) == 3
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert resolve_threads(0) == usable_cpus() >= 1
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert resolve_threads(0) == 1
    assert resolve_threads(2) == 2
    monkeypatch.setenv("OMP_NUM_THREADS", "nonsense")
    assert resolve_threads(0) == usable_cpus()


def test_repeatable_restores_the_earlier_settings():
    torch.manual_seed(5)
    before = torch.get_num_threads(), torch.get_rng_state().clone()
    with repeatable(torch.device("cpu"), threads=1):
        assert torch.get_num_threads() == 1
        assert torch.are_deterministic_algorithms_enabled()
        assert not torch.utils.deterministic.fill_uninitialized_memory
        torch.rand(3)
    assert torch.get_num_threads() == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.utils.deterministic.fill_uninitialized_memory


_FAULTS = """
import resource, torch
from latentkit.training.device import keep_freed_memory
torch.set_num_threads(1)
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        tensors = [torch.zeros(450_000) for _ in range(12)]
        del tensors
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
first = faults()
keep_freed_memory()
faults()
print(first, faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators, other rules")
def test_a_training_step_reuses_the_memory_of_the_previous_one():
    # Use a new process, because memory that this one has freed may have raised the limits already.
    shown = subprocess.run([sys.executable, "-c", _FAULTS], capture_output=True, text=True)
    before, after = map(int, shown.stdout.split())
    assert after < before / 10, shown.stderr


def test_memory_that_was_taken_and_freed_is_remembered():
    meter = MemoryMeter(torch.device("cpu"))
    before = meter.peak()[0]
    block = np.ones(10**8, np.uint8)
    meter.sample()
    del block
    of_process, of_device = meter.peak()
    assert of_process > before + 5 * 10**7
    assert of_device == 0
