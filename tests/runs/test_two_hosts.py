"""A run on two machines whose network is cut: network namespaces stand for the machines."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress

import pytest

import latentkit as lk

OPTIONS = [
    *("-o", "model.channels=[4]", "-o", "model.hidden=[8]", "-o", "model.latent_dim=2"),
    *("-o", "threads=1", "--device", "cpu"),
]

NAMES = ("alpha", "beta")


def ip(*words):
    return subprocess.run(["ip", *words], capture_output=True, text=True, check=True)


@pytest.fixture
def hosts():
    """Return two network namespaces, joined by a cable: names and addresses."""
    if sys.platform != "linux" or not (shutil.which("ip") and shutil.which("unshare")):
        pytest.skip("it needs the commands ip and unshare of Linux")
    names = [f"lk{os.getpid()}{side}" for side in "ab"]
    try:
        ip("netns", "add", names[0])
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no network namespace can be made here: {error.stderr.strip()}")
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


def start(hosts, folder, meeting, *words):
    """Start torchrun on both hosts, named alpha and beta, with one process each."""
    (folder / "hosts").write_text(
        "127.0.0.1 localhost\n" + "".join(f"10.77.0.{n} {m}\n" for n, m in enumerate(NAMES, 1))
    )
    started = []
    for number, host in enumerate(hosts, 1):
        rendezvous = ["--rdzv-backend", "c10d", "--rdzv-endpoint", "10.77.0.1:29500"]
        rendezvous += ["--rdzv-id", meeting, "--local-addr", f"10.77.0.{number}"]
        command = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", *rendezvous]
        table = f"mount --bind {folder}/hosts /etc/hosts"
        named = f'{table} && hostname {NAMES[number - 1]} && exec "$@"'
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


def end(hosts, started):
    """Kill what still works on the hosts: torchrun's processes have sessions of their own."""
    for host in hosts:
        for number in ip("netns", "pids", host).stdout.split():
            with suppress(ProcessLookupError):
                os.kill(int(number), signal.SIGKILL)
    for process in started:
        process.wait()


def test_a_cut_cable_ends_the_run_in_one_line_that_names_the_host_and_resume_finishes(
    hosts, tmp_path
):
    words = ("--timeout", "8", "--data-dir", str(tmp_path))
    epochs = ("--epochs", "12", "-o", "training.checkpoint_minutes=0.01")
    started = start(hosts, tmp_path, "1", "run", "--name", "night", *epochs, *OPTIONS, *words)
    try:
        folder = tmp_path / "host1" / "runs" / "night"
        until = time.monotonic() + 120
        while not list(folder.glob("checkpoints/*.json")) and time.monotonic() < until:
            assert [process.poll() for process in started] == [None, None]
            time.sleep(0.1)
        ip("-n", hosts[0], "link", "set", "cable", "down")
        started[0].wait(90)
    finally:
        end(hosts, started)
    said = (tmp_path / "host1" / "err.txt").read_text()
    (line,) = [line for line in said.splitlines() if line.startswith("latentkit: error:")]
    assert "process 1 on beta did not answer for 8 s" in line
    assert "exitcode  : 13" in said
    assert "to resume:  torchrun ... -m latentkit resume runs/night\n" in said
    assert lk.open(folder).status == "failed"
    assert not (tmp_path / "host2" / "runs").exists()  # only process 0 writes
    ip("-n", hosts[0], "link", "set", "cable", "up")
    started = start(hosts, tmp_path, "2", "resume", "night", *words)
    try:
        codes = [process.wait(180) for process in started]
    finally:
        end(hosts, started)
    assert codes == [0, 0], (tmp_path / "host1" / "err.txt").read_text()
    assert lk.open(folder).status == "finished"


LINK = """
import fcntl, os, queue, random, socket, struct, sys, threading, time

end = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(end, 0x400454CA, struct.pack("16sH", b"cable", 0x1001))  # packets, without a header
other = socket.socket(fileno=int(sys.argv[1]))
waiting, chance = queue.Queue(), random.Random(0)

def take():
    while True:
        packet = os.read(end, 65536)
        if chance.random() >= 0.05:
            waiting.put((time.monotonic() + 0.02, packet))

def send():
    while True:
        due, packet = waiting.get()
        time.sleep(max(0.0, due - time.monotonic()))
        other.send(packet)

for task in (take, send):
    threading.Thread(target=task, daemon=True).start()
while packet := other.recv(65536):
    os.write(end, packet)
"""


def replace_cable(hosts):
    """Join the hosts by a cable that loses 5 % of the packets, and delays the others by 20 ms.

    Two programs carry the packets, because many kernels lack the queue netem; they are returned.
    """
    programs = []
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ip("-n", hosts[0], "link", "del", "cable")
    for number, (host, one) in enumerate(zip(hosts, ends, strict=True), 1):
        try:
            ip("-n", host, "tuntap", "add", "dev", "cable", "mode", "tun")
        except subprocess.CalledProcessError as error:
            pytest.skip(f"no program may carry packets here: {error.stderr.strip()}")
        ip("-n", host, "addr", "add", f"10.77.0.{number}/24", "dev", "cable")
        ip("-n", host, "link", "set", "cable", "up")
        carry = [sys.executable, "-c", LINK, str(one.fileno())]
        command = ["ip", "netns", "exec", host, *carry]
        programs.append(subprocess.Popen(command, pass_fds=[one.fileno()]))
        one.close()
    return programs


def test_a_run_over_a_slow_cable_that_loses_packets_trains_the_same(hosts, tmp_path):
    cable = replace_cable(hosts)
    few = ("--epochs", "1", "-o", "training.batch_size=256")
    words = [*OPTIONS, *few, "--data-dir", str(tmp_path)]
    started = start(hosts, tmp_path, "3", "run", "--name", "far", *words)
    try:
        codes = [process.wait(180) for process in started]
    finally:
        end(hosts, [*started, *cable])
    assert codes == [0, 0], (tmp_path / "host1" / "err.txt").read_text()
    far = lk.open(tmp_path / "host1" / "runs" / "far")
    assert far.status == "finished"
    small = {"model.channels": [4], "model.hidden": [8], "model.latent_dim": 2, "threads": 1}
    options = {**small, "training.batch_size": 256, "training.epochs": 1}
    near = lk.run(name="near", runs=tmp_path, device="cpu", options=options, embed=())
    losses = [run.history[0]["train"]["loss"] for run in (far, near)]
    # float32: rounding grows over the steps. Two processes without a cable give the same bytes.
    assert losses[0] == pytest.approx(losses[1], rel=1e-2)
