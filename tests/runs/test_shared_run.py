"""A run that several processes share: its result, a killed process, and what is refused."""

import hashlib
import json
import os
import platform
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from tests.several_processes import become, fork_server, free_port
from torch.distributed import HashStore

import latentkit as lk
from latentkit.api.inputs import configure
from latentkit.api.kinds import kind_of_config
from latentkit.cli import launch as launching
from latentkit.cli.run_command import run_command
from latentkit.errors import (
    BrokenEnvironmentError,
    DataError,
    LatentkitError,
    ProcessError,
    UserError,
    leaving_out,
)
from latentkit.evaluation import likelihood, representation
from latentkit.maps import stability
from latentkit.registry.catalogue import default_registry
from latentkit.runs import shared_run
from latentkit.runs.context import load_images
from latentkit.runs.shared_run import follow
from latentkit.training import loop, stopping
from latentkit.training.processes import Processes, _not_met, joined

KILLS = 2  # tests/benchmarks/process_kills.py kills more often
OPTIONS = {"model.channels": [8], "model.hidden": [16], "model.latent_dim": 3, "threads": 1}
RUN = {"model": "conv-vae", "epochs": 6, "options": OPTIONS}


class Enough(Exception):
    """The stages that a test needs are done."""


def stop_after(stage):
    """Return a listener that ends a run after a stage."""

    def listen(event):
        if event.as_dict().get("event") == "StageFinished" and event.stage == stage:
            raise Enough

    return listen


stop_after_encoding = stop_after("encode")


@pytest.fixture(scope="module")
def forks():
    return fork_server(
        __name__, "latentkit.builtins.models.vae", "latentkit.builtins.datasets.digits"
    )


def member(rank, count, port, answers, folder, changes):
    """Start or resume the run in ``folder`` as one of several processes."""
    become(rank, count, port)
    loop._SECONDS_BETWEEN_CHECKPOINTS = loop._PAUSE_OVER_SAVING = 0
    if changes.get("asks") == rank:
        threading.Thread(target=ask_to_stop, args=(folder,), daemon=True).start()
    found = None
    try:
        with joined(20) as processes:
            if changes.get("others_do_the_card"):
                leave_the_card_to_others(processes)
            if rank:
                follow(processes, default_registry(), None, kind_of_config)
            elif (folder / "run" / "run.json").exists():
                lk.resume(folder / "run", listener=stop_after_encoding)
            else:
                given = {**RUN, **changes.get("run", {})}
                given["options"] = {**OPTIONS, **changes.get("options", {})}
                listener = stop_after(changes.get("until", "encode"))
                lk.run(**given, name="run", runs=folder, listener=listener)
    except Enough:
        found = "enough"
    except KeyboardInterrupt:
        found = "interrupted"
    except LatentkitError as error:
        found = error
    answers.put((rank, found))


def refuse(*_, **__):
    raise AssertionError("this process should not do it")


def leave_the_card_to_others(processes):
    """Let process 0 wait until the others have done all pieces, and do none itself."""
    if processes.rank:
        help_with = processes.help_with

        def help_and_say(pieces):
            help_with(pieces)
            processes.say(f"helped-{processes._orders}", True)

        processes.help_with = help_and_say
        return
    give = processes.arrays_from_leader

    def give_and_wait(arrays):
        give(arrays)
        for rank in range(1, processes.count):
            processes.heard(f"helped-{processes._orders}", rank)

    processes.arrays_from_leader = give_and_wait
    representation._Trial._found = stability._refit = likelihood.likelihood_card = refuse


def ask_to_stop(folder):
    """Do what the handler of SIGUSR1 does, once training has begun."""
    while not list(folder.glob("run/checkpoints/*.json")) or not stopping.ask():
        time.sleep(0.001)


def shared(forks, folder, count=2, kill=None, changes=None):
    """Let several processes share a run, and return what process 0 ended with.

    Args:
        forks: starts processes.
        folder: the folder of the run.
        count: number of processes.
        kill: a rank, and the seconds after the first checkpoint at which it is killed.
        changes: what is different from `RUN`.
    """
    port, answers = free_port(), forks.SimpleQueue()
    started = [
        forks.Process(target=member, args=(rank, count, port, answers, folder, changes or {}))
        for rank in range(count)
    ]
    for process in started:
        process.start()
    if kill is not None:
        rank, seconds = kill
        while started[rank].is_alive() and not list(folder.glob("run/checkpoints/*.json")):
            time.sleep(0.01)
        started[rank].join(seconds)
        started[rank].kill()
    for process in started:
        process.join(60)
    found = {}
    while not answers.empty():
        rank, answer = answers.get()
        found[rank] = answer
    return found.get(0)


def digests(folder):
    names = ("model.safetensors", "latents/test.npz", "latents/train.npz")
    return {
        name: hashlib.sha256((folder / "run" / name).read_bytes()).hexdigest() for name in names
    }


@pytest.fixture(scope="module")
def undisturbed(forks, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    assert shared(forks, folder) == "enough"
    return folder


def test_the_latents_are_those_of_one_process_and_the_record_names_the_processes(
    undisturbed, tmp_path
):
    with pytest.raises(Enough):
        lk.run(**RUN, name="run", runs=tmp_path, listener=stop_after_encoding)
    runs = [lk.open(folder / "run") for folder in (undisturbed, tmp_path)]
    together, alone = (run.latents("test") for run in runs)
    assert together.shape == alone.shape
    # float32: rounding grows over the steps; tests/training compares in float64.
    assert np.abs(together - alone).mean() < 0.02 * alone.std()
    losses = [run.history[0]["train"]["loss"] for run in runs]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    assert '"processes": [\n    2\n  ]' in (undisturbed / "run" / "run.json").read_text()


def test_a_killed_process_ends_the_run_in_one_line_and_resume_gives_the_same_bytes(
    forks, undisturbed, tmp_path
):
    chance = random.Random(0)
    killed, number = 0, 0
    while killed < KILLS:
        folder = tmp_path / str(number)
        number += 1
        rank = (killed + 1) % 2
        found = shared(forks, folder, kill=(rank, chance.random()))
        if found != "enough":
            killed += 1
            if rank:
                assert isinstance(found, ProcessError), found
                assert "was killed" in str(found)
            assert shared(forks, folder) == "enough"
        assert digests(folder) == digests(undisturbed)


def test_a_signal_to_any_process_saves_the_epoch_and_resume_gives_the_same_bytes(
    forks, undisturbed, tmp_path
):
    assert shared(forks, tmp_path, changes={"asks": 1}) == "interrupted"
    assert lk.open(tmp_path / "run").status == "interrupted"
    assert list(tmp_path.glob("run/checkpoints/epoch-*-batch-*.json"))
    assert shared(forks, tmp_path) == "enough"
    assert digests(tmp_path) == digests(undisturbed)


MEASURED = {"epochs": 0, "model": "conv-vae", "embed": ["pca"]}


def measured(folder):
    """Return the evaluation card of a run, and the arrays of its card and its map."""
    arrays = {}
    for name in ("evaluation.npz", "embeddings/pca.npz"):
        with np.load(folder / "run" / name) as file:
            arrays |= {f"{name} {key}": file[key] for key in file.files}
    return (folder / "run" / "evaluation.json").read_bytes(), arrays


@pytest.mark.parametrize(("count", "others_do_all"), [(2, True), (3, False)])
def test_the_card_and_the_certainty_of_maps_are_those_of_one_process(
    forks, tmp_path, count, others_do_all
):
    options = {"pca.stability": 3}
    changes = {"run": MEASURED, "options": options, "until": "evaluate"}
    changes["others_do_the_card"] = others_do_all
    assert shared(forks, tmp_path / "together", count, changes=changes) == "enough"
    given = {**RUN, **MEASURED, "options": {**OPTIONS, **options}}
    with pytest.raises(Enough):
        lk.run(**given, name="run", runs=tmp_path / "alone", listener=stop_after("evaluate"))
    (card, arrays), (expected, others) = map(measured, (tmp_path / "together", tmp_path / "alone"))
    assert card == expected
    assert arrays.keys() == others.keys()
    assert all(np.array_equal(arrays[name], others[name]) for name in arrays)


def work(rank, port, answers):
    """Do pieces of work together: one names its process, one fails, and one kills its process."""
    become(rank, 2, port)

    def fail():
        raise ValueError("no")

    pieces = {
        "fatal": lambda: os.kill(os.getpid(), signal.SIGKILL),
        "broken": fail,
        "sound": lambda: {"rank": np.array([[rank, 9], [9, 7]]).diagonal()},  # with strides
    }
    with joined(20) as processes:
        if rank:
            for _ in processes.orders():
                processes.help_with(pieces)
            return
        processes.order("work")
        while not processes._store.check([processes._key("taker of fatal")]):
            time.sleep(0.01)
        errors = []
        with leaving_out(errors.append):
            processes.piece("broken", None)
        processes._timeout = 3  # seconds of silence, after which process 0 gives up
        try:
            with leaving_out(errors.append):
                processes.piece("fatal", None)
        except ProcessError as error:
            errors.append(error)
        sound, own = processes.piece("sound", None), processes.piece("its own", pieces["sound"])
        answers.put((sound["rank"].tolist(), own["rank"].tolist(), errors))


def test_process_0_gets_results_and_errors_of_pieces_and_gives_a_dead_process_up(forks):
    port, answers = free_port(), forks.SimpleQueue()
    started = [forks.Process(target=work, args=(rank, port, answers)) for rank in range(2)]
    for process in started:
        process.start()
    for process in started:
        process.join(60)
    assert not answers.empty()
    sound, own, (broken, fatal) = answers.get()
    assert (sound, own) == ([1, 7], [0, 7])
    assert broken == f"process 1 on {platform.node()}: ValueError: no"
    assert isinstance(fatal, ProcessError)
    assert str(fatal).startswith(f"process 1 on {platform.node()} did not answer for 3 s: look at")


def process(rank, store):
    """Return one of two processes after the first order, with a store that nobody else has."""
    found = Processes.__new__(Processes)
    found.rank, found.count, found._store = rank, 2, store
    found._orders, found._timeout, found._dismissed = 1, 5, False
    return found


def test_pieces_that_process_0_has_left_out_are_not_begun():
    store = HashStore()
    leader, other = process(0, store), process(1, store)

    def last():
        leader._tell("next", {})
        return {"value": np.ones(1)}

    other.help_with({"left out": refuse, "last": last})
    assert not store.check([other._key("taker of left out")])
    assert json.loads(store.get(f"{other._key('last')}/1")) == {"values": 1}


def test_what_a_process_says_right_before_its_end_is_heard():
    class Ending(HashStore):
        def check(self, keys):
            if keys == ["ended/1"]:  # it says this and ends, after the first look
                self.set("result/1", "7")
                self.set("ended/1", "null")
            return super().check(keys)

    assert process(0, Ending()).heard("result", 1) == 7


def test_another_number_of_processes_is_recorded_and_said(forks, tmp_path):
    shared(forks, tmp_path, kill=(1, 0.0))
    notices = []
    with pytest.raises(Enough):
        lk.resume(
            tmp_path / "run",
            listener=lambda event: (notices.append(event), stop_after_encoding(event)),
        )
    (said,) = [e.message for e in notices if getattr(e, "code", "") == "other-processes"]
    assert said.startswith("training was begun by 2 processes and continues with 1 process:")


def test_a_batch_smaller_than_the_number_of_processes_is_refused(forks, tmp_path):
    found = shared(
        forks, tmp_path, changes={"options": {"training.batch_size": 1, "model.norm": "group"}}
    )
    assert isinstance(found, UserError)
    assert "training.batch_size is 1, fewer than the 2 processes: use at most 1" in str(found)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def order():
    """Return the order with which process 0 begins a run on digits."""
    registry = default_registry()
    config = configure(registry, options={"threads": 1})
    digests = {
        split: load_images(config.dataset, split, Path()).digest() for split in ("train", "test")
    }
    document = {"config": config.to_toml(), "data_dir": ".", "digests": digests}
    return {**document, **shared_run._installed(registry)}


def test_a_process_with_other_images_is_refused(order):
    assert shared_run._context(order, default_registry(), None).images("train")
    order["digests"]["test"] = "0" * 64
    with pytest.raises(DataError, match="the test images of 'digits' in here are not"):
        shared_run._context(order, default_registry(), Path("here"))


def test_a_process_with_other_versions_or_plugins_is_refused(order):
    order["versions"]["numpy"] = "1.0"
    with pytest.raises(BrokenEnvironmentError, match=r"numpy is .*, but 1.0 in process 0"):
        shared_run._context(order, default_registry(), None)
    order["versions"]["numpy"] = np.__version__
    order["plugins"]["latentkit-moon"] = "0.1"
    with pytest.raises(BrokenEnvironmentError, match=r"latentkit-moon is missing, but 0\.1 in"):
        shared_run._context(order, default_registry(), None)


def test_a_process_with_another_command_is_refused_but_folders_may_differ():
    store = HashStore()
    leader, other = process(0, store), process(1, store)
    with run_command.make_context("run", ["--name", "a", "--runs", "here"]):
        leader.say("command", launching._command())
    with run_command.make_context("run", ["--name", "a", "--data-dir", "there", "--quiet"]):
        launching._check_command(other)
    with (
        run_command.make_context("run", ["--name", "a", "--epochs", "2"]),
        pytest.raises(UserError, match="--epochs is 2, but None in process 0: give all machines"),
    ):
        launching._check_command(other)


def test_what_ends_a_process_on_another_machine_is_printed_on_both(tmp_path):
    place = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    started = []
    for rank in "01":
        number = {"RANK": rank, "GROUP_RANK": rank, "LOCAL_RANK": "0", "OMP_NUM_THREADS": "1"}
        started.append(
            subprocess.Popen(
                [sys.executable, "-m", "latentkit", "run", "--name", f"night{rank}"],
                cwd=tmp_path,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                env={**os.environ, **place, **number},
            )
        )
    said = [process.communicate(timeout=120)[1] for process in started]
    lines = [
        [line.removeprefix("latentkit: error: ") for line in text.splitlines() if "error: " in line]
        for text in said
    ]
    own = "--name is 'night1', but 'night0' in process 0: give all machines the same command"
    assert lines[0][0].startswith(f"process 1 on {platform.node()}: {own}")
    assert lines[1][0].startswith(own)
    assert [process.returncode for process in started] == [UserError.exit_code] * 2
    assert not list(tmp_path.iterdir())


def launch(*words, cwd):
    return subprocess.run(
        [sys.executable, "-m", "latentkit", "run", *words],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def test_more_processes_than_processors_are_refused(tmp_path):
    found = launch("--processes", "1000", "--device", "cpu", cwd=tmp_path)
    assert found.returncode == 2
    assert "--processes 1000: this machine has" in found.stderr
    assert found.stderr.count("\n") == 1


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="it needs two processors")
def test_processes_starts_them_and_one_line_says_what_is_wrong(tmp_path):
    words = ("-o", "training.batch_size=1", "-o", "model.norm=group")
    found = launch("--processes", "2", *words, cwd=tmp_path)
    (error,) = [line for line in found.stderr.splitlines() if "error" in line]
    assert error.startswith("latentkit: error: training.batch_size is 1, fewer than the 2 process")
    assert found.returncode == 2


def test_a_network_that_the_machine_lacks_is_named():
    error = RuntimeError("[enforce fail] ifa != nullptr. Unable to find address for: eth9\n")
    said = str(_not_met(error, 5))
    assert said.startswith(f"{platform.node()} has no network 'eth9': correct or unset GLOO_")


def test_a_process_that_cannot_reach_process_0_says_so_itself(tmp_path):
    found = subprocess.run(
        [sys.executable, "-m", "latentkit", "run", "--timeout", "1"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "RANK": "1", "LOCAL_RANK": "0", "WORLD_SIZE": "2",
             "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())},
    )  # fmt: skip
    (error,) = [line for line in found.stderr.splitlines() if "error: " in line]
    assert error.startswith(f"latentkit: error: process 1 on {platform.node()} did not meet")
    assert found.returncode == ProcessError.exit_code
