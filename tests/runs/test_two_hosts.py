"""A run on two machines whose network is cut: network namespaces stand for the machines."""

import socket
import subprocess
import sys
import time

import pytest
from tests.several_processes import HostsError, end_on_hosts, ip, start_on_hosts, two_hosts

import latentkit as lk

OPTIONS = [
    *("-o", "model.channels=[4]", "-o", "model.hidden=[8]", "-o", "model.latent_dim=2"),
    *("-o", "threads=1", "--device", "cpu"),
]


@pytest.fixture
def hosts():
    """Return two hosts, see `two_hosts`."""
    try:
        with two_hosts() as names:
            yield names
    except HostsError as error:
        pytest.skip(str(error))


def test_a_cut_cable_ends_the_run_in_one_line_that_names_the_host_and_resume_finishes(
    hosts, tmp_path
):
    words = ("--timeout", "8", "--data-dir", str(tmp_path))
    epochs = ("--epochs", "12", "-o", "training.checkpoint_minutes=0.01")
    started = start_on_hosts(
        hosts, tmp_path, "1", "run", "--name", "night", *epochs, *OPTIONS, *words
    )
    try:
        folder = tmp_path / "host1" / "runs" / "night"
        until = time.monotonic() + 120
        while not list(folder.glob("checkpoints/*.json")) and time.monotonic() < until:
            assert [process.poll() for process in started] == [None, None]
            time.sleep(0.1)
        ip("-n", hosts[0], "link", "set", "cable", "down")
        started[0].wait(90)
    finally:
        end_on_hosts(hosts, started)
    said = (tmp_path / "host1" / "err.txt").read_text()
    (line,) = [line for line in said.splitlines() if line.startswith("latentkit: error:")]
    assert "process 1 on beta did not answer for 8 s" in line
    assert "exitcode  : 13" in said
    assert "to resume:  torchrun ... -m latentkit resume runs/night\n" in said
    assert lk.open(folder).status == "failed"
    assert not (tmp_path / "host2" / "runs").exists()  # only process 0 writes
    ip("-n", hosts[0], "link", "set", "cable", "up")
    started = start_on_hosts(hosts, tmp_path, "2", "resume", "night", *words)
    try:
        codes = [process.wait(180) for process in started]
    finally:
        end_on_hosts(hosts, started)
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
    started = start_on_hosts(hosts, tmp_path, "3", "run", "--name", "far", *words)
    try:
        codes = [process.wait(180) for process in started]
    finally:
        end_on_hosts(hosts, [*started, *cable])
    assert codes == [0, 0], (tmp_path / "host1" / "err.txt").read_text()
    far = lk.open(tmp_path / "host1" / "runs" / "far")
    assert far.status == "finished"
    small = {"model.channels": [4], "model.hidden": [8], "model.latent_dim": 2, "threads": 1}
    options = {**small, "training.batch_size": 256, "training.epochs": 1}
    near = lk.run(name="near", runs=tmp_path, device="cpu", options=options, embed=())
    losses = [run.history[0]["train"]["loss"] for run in (far, near)]
    # float32: rounding grows over the steps. Two processes without a cable give the same bytes.
    assert losses[0] == pytest.approx(losses[1], rel=1e-2)
