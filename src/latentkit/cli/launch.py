"""A command that several processes execute: started by torchrun, or by ``--processes N``."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from latentkit.cli import shared_options
from latentkit.errors import INTERRUPTED_EXIT_CODE, LatentkitError, ProcessError, UserError
from latentkit.plugin.events import Event, Listener, RunStarted, fan_out
from latentkit.plugin.machine import usable_cpus

if TYPE_CHECKING:
    from latentkit.training.processes import Processes

_TIMEOUT = 300  # seconds
_AFTER_LEADER = 30.0  # seconds; torchrun ends this process earlier, when process 0 has ended
_MAY_DIFFER = {"--processes", "--timeout", "--runs", "--out", "--data-dir", "--json", "--quiet"}

_stderr: int | None = None  # of a follower that prints nothing


def _stated(name: str, default: int) -> int:
    text = os.environ.get(name, "")
    return int(text) if text.isdecimal() else default


def is_launched() -> bool:
    """Return whether torchrun, or what sets the same variables, started several processes."""
    return _stated("WORLD_SIZE", 1) > 1 and "RANK" in os.environ and "MASTER_PORT" in os.environ


def is_follower() -> bool:
    """Return whether another process leads, which writes and prints everything."""
    return is_launched() and _stated("RANK", 0) > 0


def follow_silently() -> None:
    """Let a follower print nothing, unless ``--debug`` asks for it: process 0 names its errors."""
    global _stderr
    if is_follower() and "--debug" not in sys.argv:
        _stderr = os.dup(2)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (1, 2):
            os.dup2(nowhere, stream)
        os.close(nowhere)


def _speak_again() -> None:
    """Let a follower print its error, which process 0 does not know, or prints elsewhere."""
    if _stderr is not None:
        os.dup2(_stderr, 2)


def processes_options(function: Callable[..., object]) -> Callable[..., object]:
    """Add ``--processes`` and ``--timeout``."""
    function = click.option(
        "--timeout",
        type=int,
        metavar="SECONDS",
        default=_TIMEOUT,
        show_default=True,
        callback=shared_options.check_positive,
        help="How long a process waits for another one before the command fails.",
    )(function)
    return click.option(
        "--processes",
        type=int,
        metavar="N",
        callback=shared_options.check_positive,
        help="Share training, encoding and the card among N processes of this machine.  "
        "[default: 1, or those of torchrun]",
    )(function)


def planned_counts(wanted: int | None, device: str | None) -> list[int]:
    """Return the numbers of processes whose time a dry run predicts.

    Raises:
        UserError: this machine cannot have so many, or torchrun has started several.
    """
    import torch

    if is_launched():
        raise UserError("--dry-run needs one process: leave torchrun out, and use --processes")
    if wanted is not None:
        _check_room(wanted, device)
        return [wanted]
    on_gpu = device != "cpu" and torch.cuda.is_available()
    return [count for count in (2, 4, 8) if on_gpu or count <= usable_cpus()]


def begin_command(wanted: int | None, device: str | None) -> None:
    """Launch the processes that ``--processes`` asks for, and end with their outcome.

    It returns in a process that does the work itself.

    Args:
        wanted: number of processes; None if the user has not said it.
        device: the device on which they compute; None if it is not known yet.

    Raises:
        UserError: this machine cannot have so many processes.
        ProcessError: process 0 was killed.
        CommandEndedError: the processes have ended.
    """
    if is_launched():
        there = _stated("WORLD_SIZE", 1)
        if wanted not in (None, there):
            raise UserError(
                f"--processes {wanted}: torchrun has started {there} processes; leave it out"
            )
        return
    if wanted is not None and wanted > 1:
        _check_room(wanted, device)
        raise shared_options.CommandEndedError(_launch(wanted))


def _check_room(wanted: int, device: str | None) -> None:
    import torch

    gpus = torch.cuda.device_count() if device != "cpu" else 0
    most = gpus or usable_cpus()
    if wanted > most:
        what = f"{most} GPU{'s' * (most > 1)}" if gpus else f"{most} CPU{'s' * (most > 1)}"
        fewer = f"use --processes {most} or fewer" if most > 1 else "leave it out"
        other = ", or --device cpu" if gpus else ""
        raise UserError(f"--processes {wanted}: this machine has {what}; {fewer}{other}")


def _launch(count: int) -> int:
    """Execute this command in ``count`` processes, and return its exit code."""
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    # Process 0 says in one line what went wrong; torchrun would add a page to it.
    logging.disable(logging.CRITICAL)
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, usable_cpus() // count)))
    if sys.platform == "linux":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=count,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="127.0.0.1:0",
        local_addr="127.0.0.1",
        max_restarts=0,
        monitor_interval=0.1,
    )
    if hasattr(config, "signals_to_handle"):  # early versions of torch pass fewer signals on
        config.signals_to_handle += ",SIGUSR1"
    try:
        elastic_launch(config, sys.executable)("-m", "latentkit", *sys.argv[1:])
    except SignalException:
        return INTERRUPTED_EXIT_CODE
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode >= 0:
            return int(failure.exitcode)
        if rank == 0:
            name = signal.Signals(-failure.exitcode).name
            raise ProcessError(
                f"process 0 of {count} was ended by {name}: finished work is kept; if the machine "
                f"ran out of memory, use fewer processes; 'latentkit resume last --processes "
                f"{count}' continues the run"
            ) from None
        return ProcessError.exit_code  # process 0 has said it
    return 0


def has_followed(timeout: int, data_dir: str | None) -> bool:
    """Do this process's part of what process 0 leads; return False in process 0.

    Raises:
        LatentkitError: it cannot; process 0 says why.
    """
    if not is_follower():
        return False
    from latentkit.api.inputs import given_data_dir
    from latentkit.api.kinds import kind_of_config
    from latentkit.registry.catalogue import default_registry
    from latentkit.runs.shared_run import follow as follow_run
    from latentkit.training.processes import joined

    have_met = False
    try:
        with shared_options.work_of_parts(), joined(timeout) as processes:
            have_met = True
            _check_command(processes)
            data: Path | None = given_data_dir(data_dir)
            follow_run(processes, default_registry(), data, kind_of_config)
    except LatentkitError as error:
        if have_met and isinstance(error, ProcessError):
            time.sleep(_AFTER_LEADER)  # torchrun should see the exit code of process 0 first
        if not have_met or _stated("GROUP_RANK", 0):  # on another machine
            _speak_again()
        raise
    return True


@contextmanager
def leading(timeout: int) -> Iterator[Processes | None]:
    """Meet the other processes, if torchrun has started some."""
    if not is_launched():
        yield None
        return
    from latentkit.training.processes import joined

    with joined(timeout) as processes:
        processes.say("command", _command())
        yield processes


def _command() -> dict[str, Any]:
    """Return what the command of all processes should be, by option, as JSON gives it back."""
    context = click.get_current_context()
    names = {one.name: max(one.opts, key=len) for one in context.command.params}
    given = {names[name]: value for name, value in context.params.items()}
    given = {name: value for name, value in given.items() if name not in _MAY_DIFFER}
    return dict(json.loads(json.dumps({"the command": context.info_name, **given})))


def _check_command(processes: Processes) -> None:
    """Refuse to follow a process 0 with another command: torchrun has mixed two runs.

    Raises:
        UserError: an option is not that of process 0.
    """
    own, there = _command(), processes.heard("command", 0)
    for name in {**there, **own}:
        if own.get(name) != there.get(name):
            raise UserError(
                f"{name} is {own.get(name)!r}, but {there.get(name)!r} in process 0: give all "
                f"machines the same command, and each run an --rdzv-id and a port of its own"
            )


def run_name(processes: Processes | None, name: str) -> str:
    """Return the name of a run: the user's, or the one from before torchrun started it again."""
    return name if name or processes is None else processes.remembered_run()


def remembering(processes: Processes | None, listener: Listener) -> Listener:
    """Return the listener of a run whose name torchrun needs if it starts all processes again."""
    if processes is None:
        return listener

    def remember(event: Event) -> None:
        if isinstance(event, RunStarted):
            processes.remember_run(Path(event.path).name)

    return fan_out(remember, listener)


def resume_words() -> tuple[str, tuple[str, ...]]:
    """Return what precedes and what follows a command that as many processes should resume."""
    there = _stated("WORLD_SIZE", 1)
    if not is_launched():
        return "", ()
    if _stated("LOCAL_WORLD_SIZE", there) < there:  # on several machines
        return "torchrun ... -m ", ()
    return "", ("--processes", str(there))
