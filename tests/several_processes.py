"""What tests need to start processes that share a run: a port, an environment, a fork server."""

import multiprocessing
import os
import socket


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
