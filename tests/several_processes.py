"""What starts processes that share a run: a port, an environment, a fork server, two hosts."""

import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager, suppress


def free_port():
    """Return a port that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def become(rank, count, port):
    """Set what torchrun would set, so that this process is one of ``count``."""
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}


def fork_server(*modules):
    """Return what starts processes that have imported ``modules`` already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(modules))
    return context


HOSTS = ("alpha", "beta")


class HostsError(Exception):
    """Two hosts cannot be made here; the message says why."""


def ip(*words):
    """Execute a command of ip."""
    return subprocess.run(["ip", *words], capture_output=True, text=True, check=True)


@contextmanager
def two_hosts():
    """Yield the names of two network namespaces, joined by a cable, which stand for machines."""
    if sys.platform != "linux" or not (shutil.which("ip") and shutil.which("unshare")):
        raise HostsError("it needs the commands ip and unshare of Linux")
    names = [f"lk{os.getpid()}{side}" for side in "ab"]
    try:
        ip("netns", "add", names[0])
    except subprocess.CalledProcessError as error:
        why = error.stderr.strip()
        raise HostsError(f"no network namespace can be made here: {why}") from error
    try:
        ip("netns", "add", names[1])
        ip("link", "add", "cable", "netns", names[0], "type", "veth", "peer", "cable", "netns",
           names[1])  # fmt: skip
        for number, name in enumerate(names, 1):
            ip("-n", name, "addr", "add", f"10.77.0.{number}/24", "dev", "cable")
            ip("-n", name, "link", "set", "cable", "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield names
    finally:
        for name in names:
            with suppress(subprocess.CalledProcessError):
                ip("netns", "del", name)


def start_on_hosts(hosts, folder, meeting, *words):
    """Start torchrun on both hosts, which are called alpha and beta, with one process each.

    Each has a folder of its own, ``host1`` and ``host2``, with what it prints in ``err.txt``.
    """
    (folder / "hosts").write_text(
        "127.0.0.1 localhost\n" + "".join(f"10.77.0.{n} {m}\n" for n, m in enumerate(HOSTS, 1))
    )
    started = []
    for number, host in enumerate(hosts, 1):
        rendezvous = ["--rdzv-backend", "c10d", "--rdzv-endpoint", "10.77.0.1:29500"]
        rendezvous += ["--rdzv-id", meeting, "--local-addr", f"10.77.0.{number}"]
        command = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", *rendezvous]
        table = f"mount --bind {folder}/hosts /etc/hosts"
        named = f'{table} && hostname {HOSTS[number - 1]} && exec "$@"'
        home = folder / f"host{number}"
        home.mkdir(exist_ok=True)
        with (home / "err.txt").open("w") as err:
            started.append(
                subprocess.Popen(
                    ["ip", "netns", "exec", host, "unshare", "--uts", "--mount", "sh", "-c", named,
                     "sh", *command, "-m", "latentkit", *words],
                    cwd=home,
                    env={**os.environ, "GLOO_SOCKET_IFNAME": "cable", "OMP_NUM_THREADS": "1"},
                    stdout=subprocess.DEVNULL,
                    stderr=err,
                    start_new_session=True,
                )
            )  # fmt: skip
    return started


def end_on_hosts(hosts, started):
    """Kill what still works on the hosts: torchrun's processes have sessions of their own."""
    for host in hosts:
        for number in ip("netns", "pids", host).stdout.split():
            with suppress(ProcessLookupError):
                os.kill(int(number), signal.SIGKILL)
    for process in started:
        process.wait()
