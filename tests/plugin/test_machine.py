"""How much memory is still available under each kind of limit."""

import psutil
import pytest

from latentkit.plugin import machine
from latentkit.plugin.machine import available_memory_bytes

GIB = 2**30


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """Return a function that makes this process a member of fake control groups."""
    monkeypatch.setattr(machine, "_CGROUPS", tmp_path)
    monkeypatch.setattr(machine, "_MEMBERSHIP", tmp_path / "membership")

    def join(line, **folders):
        (tmp_path / "membership").write_text(f"5:cpu:/elsewhere\n{line}\n")
        for folder, files in folders.items():
            path = tmp_path / folder.replace("__", "/")
            path.mkdir(parents=True, exist_ok=True)
            for name, content in files.items():
                (path / name).write_text(content)

    return join


def second(limit, used, inactive=0):
    stat = f"anon 5\ninactive_file {inactive}\n"
    return {"memory.max": f"{limit}\n", "memory.current": f"{used}\n", "memory.stat": stat}


def test_a_containers_free_memory_is_its_limit_less_use_that_cannot_be_reclaimed(groups):
    groups("0::/box", box=second(GIB, GIB // 2, GIB // 8))
    assert available_memory_bytes() == GIB // 2 + GIB // 8


def test_the_tightest_limit_of_the_enclosing_groups_counts(groups):
    groups("0::/outer/box", outer=second(GIB // 4, 0), outer__box=second("max", 0))
    assert available_memory_bytes() == GIB // 4


def test_groups_of_the_first_version_count_too(groups):
    files = {
        "memory.limit_in_bytes": f"{GIB}\n",
        "memory.usage_in_bytes": f"{GIB - 100}\n",
        "memory.stat": "inactive_file 7\ntotal_inactive_file 20\n",
    }
    groups("4:memory:/box", memory__box=files)
    assert available_memory_bytes() == 120


def test_a_container_that_sees_itself_as_the_root_is_found(groups, tmp_path):
    groups("0::/docker/4f2a")
    for name, content in second(GIB, 0).items():
        (tmp_path / name).write_text(content)
    assert available_memory_bytes() == GIB


def test_available_memory_is_never_negative(groups):
    groups("0::/box", box=second(GIB, 2 * GIB))
    assert available_memory_bytes() == 0


def test_without_limits_the_systems_memory_counts(groups):
    groups("0::/box", box=second("max", 0))
    assert available_memory_bytes() == pytest.approx(psutil.virtual_memory().available, rel=0.2)


def test_an_address_space_limit_counts_less_its_use(groups):
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = psutil.Process().memory_info().vms
    resource.setrlimit(resource.RLIMIT_AS, (used + GIB // 4, before[1]))
    try:
        assert 0 < available_memory_bytes() <= GIB // 4
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
