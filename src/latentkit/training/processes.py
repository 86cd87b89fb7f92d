"""The processes of one run, started by torchrun: what each one is, and how they talk.

Process 0 leads: it owns the run's folder and tells the others, through torchrun's store, what to do
next. Numbers travel through ``torch.distributed``: gloo for tensors of the CPU, NCCL for those of
GPUs. Nothing that arrives is unpickled.
"""

from __future__ import annotations

import json
import os
import platform
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from safetensors.numpy import load, save
from torch import Tensor
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from latentkit import errors
from latentkit.errors import BrokenEnvironmentError, LatentkitError, ProcessError

_RUN = "latentkit-run"
_LOOK = 0.05  # seconds between two looks at the store
_LAST_WORDS = 2.0  # seconds in which a process that ends by itself has said why
_PULSE = 1.0  # seconds between two signs of life, or a quarter of the timeout if that is less
_MOST_BYTES = 2**22  # of one value; torchrun's store refuses more than 2**23

Arrays = dict[str, NDArray[Any]]
Pieces = Mapping[str, Callable[[], Arrays]]
"""Pieces of work that do not depend on each other, by name."""


@dataclass(frozen=True)
class Share:
    """The share of a batch that one process computes.

    Args:
        rows: its rows of the batch, which follow each other.
        counts: number of rows of each process.
        total: number of rows of the batch.
        weight: weight of the process's mean in that of the batch.
        divided: whether the batch is divided. If it has fewer rows than there are processes, each
            process computes all of them.
    """

    rows: slice
    counts: tuple[int, ...]
    total: int
    weight: float
    divided: bool

    @property
    def count(self) -> int:
        """Number of rows of this process."""
        return self.rows.stop - self.rows.start  # type: ignore[no-any-return]


class Processes:
    """This process among those of the run.

    Args:
        store: torchrun's store, which all of them see.
        rank: number of this process; 0 leads.
        count: number of processes.
        timeout: seconds to wait for another process.
    """

    def __init__(self, store: Store, rank: int, count: int, timeout: int) -> None:
        self.rank = rank
        self.count = count
        self._store = store
        self._timeout = timeout
        self._orders = 0
        self._dismissed = False
        # Connections of their own for large sums, so that small messages overtake them.
        self._aside: Any = dist.new_group(backend="gloo", timeout=timedelta(seconds=timeout))
        # What is said here is also known after a restart by torchrun.
        self._lasting: Store = store
        while isinstance(self._lasting, PrefixStore):
            self._lasting = self._lasting.underlying_store
        self.say("host", platform.node())
        self._leader = "?"
        self._leader = self.host(0)  # now, because its store may be gone later
        self._ended = threading.Event()
        if rank:
            self._beat()  # at once, so that silence is noticed from the start
            threading.Thread(target=self._pulse, daemon=True).start()

    # What is said in words, through the store.

    def say(self, what: str, words: Any) -> None:
        """Tell the other processes something, as JSON."""
        with self._reaching_others():
            self._store.set(f"{what}/{self.rank}", json.dumps(words))

    def heard(self, what: str, rank: int) -> Any:
        """Return what a process said, waiting until it has.

        It sleeps between two looks, so that waiting takes no processor, and a signal is heeded.

        Raises:
            ProcessError: the process ended without having said it, or gives no sign of life.
        """
        pulse, since = b"", time.monotonic()
        with self._reaching_others():
            while not self._store.check([f"{what}/{rank}"]):
                if rank != self.rank and self._store.check([f"ended/{rank}"]):
                    if self._store.check([f"{what}/{rank}"]):  # said since the first look
                        break
                    raise self._what_happened()
                if self._store.check([f"pulse/{rank}"]):
                    before, pulse = pulse, self._store.get(f"pulse/{rank}")
                    since = since if pulse == before else time.monotonic()
                    if time.monotonic() - since > self._timeout:
                        raise self._silent(self._named(rank))
                time.sleep(_LOOK)
            return json.loads(self._store.get(f"{what}/{rank}"))

    def host(self, rank: int) -> str:
        """Return the name of the machine on which a process works."""
        return str(self.heard("host", rank))

    def order(self, what: str, **words: Any) -> None:
        """Tell the other processes what to do next, and wait until they begin.

        Only process 0 does this.

        Raises:
            ProcessError: one of them ended, or gives no sign of life.
        """
        self._tell(what, words)
        for rank in range(1, self.count):
            self.heard(f"begins-{self._orders}", rank)

    def _tell(self, what: str, words: Mapping[str, Any]) -> None:
        self.say(f"order-{self._orders}", {"do": what, **words})
        self._orders += 1

    def orders(self) -> Iterator[Mapping[str, Any]]:
        """Yield what process 0 wants to be done, until it dismisses this process."""
        while True:
            found = self.heard(f"order-{self._orders}", 0)
            self._orders += 1
            if found["do"] == "leave":
                return
            self.say(f"begins-{self._orders}", True)
            yield found

    def dismiss(self) -> None:
        """Let the other processes end, once; process 0 goes on alone."""
        if not self._dismissed and self.rank == 0:
            self._dismissed = True
            with suppress(LatentkitError):
                self._tell("leave", {})

    # Pieces of work, each done by the process that is free first.

    def piece(self, name: str, make: Callable[[], Arrays]) -> Arrays:
        """Return the result of a piece of work: made here, unless another process has begun it.

        Only process 0 does this; the others `help_with` the pieces of its last order.

        Raises:
            LatentkitError: the process that has begun it failed, or is gone.
        """
        rank = self._taker(name)
        if rank == self.rank:
            return make()
        key = self._key(name)
        words = self.heard(key, rank)
        if "error" in words:
            raise self._error_of(rank, words, LatentkitError)
        with self._reaching_others():
            return load(b"".join(self._store.get(f"{key}/{one}") for one in range(words["values"])))

    def help_with(self, pieces: Pieces) -> None:
        """Do pieces of work that nobody has begun, and hand their results or errors to process 0.

        Process 0 begins with the first piece, the others with the last. They stop when process 0
        gives its next order, because it has left out what nobody has begun.
        """
        for name, make in reversed(list(pieces.items())):
            with self._reaching_others():
                if self._store.check([f"order-{self._orders}/0"]):
                    return
            if self._taker(name) != self.rank:
                continue
            key = self._key(name)
            try:
                content = _packed(make())
            except (Exception, SystemExit) as error:  # process 0 raises it
                self.say(key, _words(error))
                continue
            starts = range(0, len(content), _MOST_BYTES)
            with self._reaching_others():
                for one, start in enumerate(starts):
                    self._store.set(f"{key}/{one}", content[start : start + _MOST_BYTES])  # type: ignore[arg-type]
            self.say(key, {"values": len(starts)})

    def _taker(self, name: str) -> int:
        """Return the process that does a piece: this one, unless another was faster."""
        with self._reaching_others():
            return int(self._store.compare_set(self._key(f"taker of {name}"), "", str(self.rank)))

    def _key(self, name: str) -> str:
        return f"order-{self._orders}-{name}"

    @property
    def active(self) -> bool:
        """Whether the other processes are still there to share work."""
        return not self._dismissed

    def remember_run(self, name: str) -> None:
        """Remember the name of the run's folder, for the case that torchrun restarts all."""
        with self._reaching_others():
            self._lasting.set(_RUN, name)

    def remembered_run(self) -> str:
        """Return the name of the run that these processes began before a restart; may be empty."""
        with self._reaching_others():
            return self._lasting.get(_RUN).decode() if self._lasting.check([_RUN]) else ""

    # What is said in numbers, through the process group.

    def sum_(self, tensor: Tensor) -> Tensor:
        """Replace a tensor by its sum over all processes, the same bytes in each, and return it."""
        with self._reaching_others():
            dist.all_reduce(tensor)
        return tensor

    def summing(self, tensor: Tensor) -> Callable[[], None]:
        """Begin to replace a tensor by its sum, and return what waits for the end.

        Sums that are begun this way do not wait for what else is sent meanwhile.
        """
        with self._reaching_others():
            aside = self._aside if tensor.device.type == "cpu" else None
            work: Any = dist.all_reduce(tensor, group=aside, async_op=True)

        def wait() -> None:
            with self._reaching_others():
                work.wait()

        return wait

    def each(self, tensor: Tensor) -> Tensor:
        """Return the tensors of all processes, which have one shape: (processes, *shape)."""
        found = tensor.new_empty((self.count, *tensor.shape))
        with self._reaching_others():
            dist.all_gather(list(found), tensor)
        return found

    def whole(self, values: Tensor, share: Share) -> Tensor:
        """Return the rows of all processes, in order, given those of this process's share."""
        found = values.new_zeros((share.total, *values.shape[1:]))
        found[share.rows] = values
        return self.sum_(found)

    def from_leader(self, content: bytes = b"") -> bytes:
        """Return the bytes that process 0 gives; the others give nothing."""
        size = self.sum_(torch.tensor([len(content) if self.rank == 0 else 0]))
        tensor = torch.zeros(int(size), dtype=torch.uint8)
        if self.rank == 0:
            tensor = torch.frombuffer(bytearray(content), dtype=torch.uint8)
        with self._reaching_others():
            dist.broadcast(tensor, 0)
        return tensor.numpy().tobytes() if self.rank else content

    def arrays_from_leader(self, arrays: Arrays | None = None) -> Arrays:
        """Return the arrays that process 0 gives; the others give nothing."""
        content = self.from_leader(b"" if arrays is None else _packed(arrays))
        # Those of safetensors cannot be written to.
        return arrays or {name: one.copy() for name, one in load(content).items()}

    def to_leader(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the rows (n, D) of all processes in order, if this is process 0."""
        counts = torch.zeros(self.count, dtype=torch.int64)
        counts[self.rank] = len(rows)
        self.sum_(counts)
        if self.rank:
            with self._reaching_others():
                if len(rows):
                    dist.send(torch.from_numpy(np.ascontiguousarray(rows)), 0)
            return rows
        parts = [rows]
        for rank, count in enumerate(counts.tolist()):
            if rank and count:
                received = torch.empty((count, *rows.shape[1:]))
                with self._reaching_others():
                    dist.recv(received, rank)
                parts.append(received.numpy())
        return np.concatenate(parts)

    def share(self, total: int) -> Share:
        """Return this process's share of a batch; shares differ by one row at most."""
        if total < self.count:
            return Share(slice(0, total), (total,) * self.count, total, 1 / self.count, False)
        least, more = divmod(total, self.count)
        counts = tuple(least + (rank < more) for rank in range(self.count))
        start = sum(counts[: self.rank])
        rows = slice(start, start + counts[self.rank])
        return Share(rows, counts, total, counts[self.rank] / total, True)

    # How it ends.

    def end(self, error: BaseException | None) -> None:
        """Tell process 0 that this process ends, and why."""
        self._ended.set()
        words = _words(error) if isinstance(error, Exception) else None
        with suppress(Exception):
            self._store.set(f"ended/{self.rank}", json.dumps(words))

    def _pulse(self) -> None:
        """Give signs of life, because a piece of work may take longer than the timeout."""
        with suppress(Exception):  # the store is gone, and the main thread notices
            while not self._ended.wait(min(_PULSE, self._timeout / 4)):
                self._beat()

    def _beat(self) -> None:
        self._store.set(f"pulse/{self.rank}", str(time.monotonic()))

    def lost(self) -> LatentkitError | None:
        """Return the error of a process that was killed or failed, after this one was interrupted.

        If somebody stops all of them, each ends by itself and says so: then there is none.
        """
        if self._dismissed:
            return None
        with suppress(Exception):  # the others wait for this process no longer
            dist.destroy_process_group()
        found = self._what_happened("")
        return found if str(found) else None

    @contextmanager
    def _reaching_others(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:  # of torch.distributed
            text = str(error).partition("\n")[0].rpartition("] ")[2]  # without gloo's file
            raise self._what_happened(text) from error

    def _what_happened(self, text: str = "it ended early") -> LatentkitError:
        """Return why the processes cannot talk any more.

        Args:
            text: what torch says about it.
        """
        if self.rank:
            return ProcessError(
                f"process 0 on {self._leader} cannot be reached ({text}): it says why, unless its "
                f"machine or the network failed"
            )
        until = time.monotonic() + _LAST_WORDS
        silent = set(range(1, self.count))
        with suppress(Exception):  # the store may be gone, too
            while silent and time.monotonic() < until:
                for rank in sorted(silent):
                    if self._store.check([f"ended/{rank}"]):
                        silent.discard(rank)
                        words = json.loads(self._store.get(f"ended/{rank}"))
                        if words and words["error"] != ProcessError.__name__:
                            return self._error_of(rank, words)
                time.sleep(_LOOK)
        if "imed out" in text or "imeout" in text:
            return self._silent(", ".join(map(self._named, sorted(silent))) or "a process")
        if silent:
            names = ", ".join(map(self._named, sorted(silent)))
            return ProcessError(
                f"{names} was killed, or cannot be reached: if that machine ran out of memory, use "
                f"fewer processes"
            )
        return ProcessError(f"the processes lost each other: {text}" if text else "")

    def _silent(self, names: str) -> ProcessError:
        return ProcessError(
            f"{names} did not answer for {self._timeout} s: look at the machines and their "
            f"network, or wait longer with --timeout"
        )

    def _error_of(
        self,
        rank: int,
        words: Mapping[str, str],
        unknown: type[LatentkitError] = ProcessError,
    ) -> LatentkitError:
        """Return another process's error; one that latentkit does not explain is ``unknown``."""
        text = f"{self._named(rank)}: {words['text']}"
        kind = getattr(errors, words["error"], None) if words["error"] else None
        if isinstance(kind, type) and issubclass(kind, LatentkitError):
            return kind(text)
        return unknown(text)

    def _named(self, rank: int) -> str:
        host = "?"
        with suppress(Exception):
            if self._store.check([f"host/{rank}"]):
                host = str(json.loads(self._store.get(f"host/{rank}")))
        return f"process {rank} on {host}"


def _packed(arrays: Arrays) -> bytes:
    # safetensors writes the memory of an array as it is, whatever its strides are.
    return save({name: np.asarray(one, order="C") for name, one in arrays.items()})


def _words(error: BaseException) -> dict[str, str]:
    known = isinstance(error, LatentkitError)
    return {"error": type(error).__name__ if known else "", "text": errors.describe_error(error)}


_joined: Processes | None = None


def current() -> Processes | None:
    """Return the processes that share this run's work; None if this one works alone."""
    return _joined if _joined is not None and _joined.active else None


def piece(name: str, make: Callable[[], Arrays]) -> Arrays:
    """Return the result of a piece of work, which another process may do; see `Processes.piece`."""
    processes = current()
    return make() if processes is None else processes.piece(name, make)


@contextmanager
def joined(timeout: int) -> Iterator[Processes]:
    """Meet the other processes that torchrun started, and part from them at the end.

    Raises:
        ProcessError: they cannot be reached.
        BrokenEnvironmentError: this machine has fewer GPUs than processes.
    """
    global _joined
    patience = timedelta(seconds=timeout)
    try:
        store, rank, count = next(iter(rendezvous("env://", timeout=patience)))
        cuda = torch.cuda.is_available()
        backend = "cpu:gloo,cuda:nccl" if cuda else "gloo"
        # torchrun's store outlives a restart, and has what the earlier processes said.
        restarts = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        group = PrefixStore(f"latentkit-{restarts}", store)
        dist.init_process_group(backend, store=group, rank=rank, world_size=count, timeout=patience)
    except (RuntimeError, ValueError) as error:
        raise _not_met(error, timeout) from error
    found = _joined = Processes(group, rank, count, timeout)
    stopped: BaseException | None = None
    try:
        _take_gpu()
        yield found
    except BaseException as error:
        stopped = error
        if isinstance(error, KeyboardInterrupt) and rank == 0 and (why := found.lost()):
            raise why from error
        raise
    finally:
        found.dismiss()  # first, because whoever waits for an order takes an end for a failure
        found.end(stopped)
        _joined = None
        with suppress(Exception):  # it may be broken
            dist.destroy_process_group()


def _take_gpu() -> None:
    """Let each process of a machine compute on a GPU of its own."""
    there, own = torch.cuda.device_count(), int(os.environ.get("LOCAL_RANK", "0"))
    if own < there:
        torch.cuda.set_device(own)
    elif there:
        raise BrokenEnvironmentError(
            f"{platform.node()} has {there} GPUs and more processes: start one process for each "
            f"GPU, or hide the GPUs with CUDA_VISIBLE_DEVICES= and use --device cpu"
        )


def _not_met(error: Exception, timeout: int) -> ProcessError:
    where = f"{os.environ.get('MASTER_ADDR', '?')}:{os.environ.get('MASTER_PORT', '?')}"
    text = str(error).partition("\n")[0]
    if "EADDRINUSE" in str(error) or "in use" in text:
        return ProcessError(f"port {where} is in use: set another MASTER_PORT")
    if name := text.partition("Unable to find address for: ")[2]:
        return ProcessError(
            f"{platform.node()} has no network {name!r}: correct or unset GLOO_SOCKET_IFNAME there"
        )
    return ProcessError(
        f"process {os.environ.get('RANK', '?')} on {platform.node()} did not meet the others at "
        f"{where} within {timeout} s ({text}): check that all of them were started, and that this "
        f"machine reaches that port"
    )
