"""The job files of the examples: they parse, and latentkit has every option in them."""

import shlex
import subprocess
from pathlib import Path

import pytest

from latentkit.api.inputs import configure
from latentkit.cli.run_command import run_command
from latentkit.cli.shared_options import parse_options
from latentkit.registry.catalogue import default_registry

yaml = pytest.importorskip("yaml")
EXAMPLES = Path(__file__).parents[2] / "examples"


def slurm_words():
    text = (EXAMPLES / "slurm" / "train.sbatch").read_text("utf-8")
    return shlex.split(text.replace("\\\n", " ").partition("srun")[2])


def kubernetes_words():
    documents = yaml.safe_load_all((EXAMPLES / "kubernetes" / "job.yaml").read_text("utf-8"))
    service, job = documents
    pod = job["spec"]["template"]["spec"]
    assert service["metadata"]["name"] == pod["subdomain"]
    assert job["spec"]["completions"] == job["spec"]["parallelism"] == 2
    (container,) = pod["containers"]
    mounts = {mount["name"] for mount in container["volumeMounts"]}
    assert mounts == {volume["name"] for volume in pod["volumes"]}
    return container["command"]


@pytest.mark.parametrize("words", [slurm_words, kubernetes_words])
def test_every_option_of_a_job_exists(words):
    given = words()
    start = given.index("latentkit")
    assert given[start - 1 : start + 2] == ["-m", "latentkit", "run"]
    context = run_command.make_context("run", given[start + 2 :])  # refuses unknown options
    chosen = context.params
    config = configure(
        default_registry(),
        dataset=chosen["dataset"],
        embed=chosen["embed"],
        options=parse_options(chosen["options"]),
    )
    assert config.training.checkpoint_minutes == 10
    assert chosen["name"]  # a job that is started again resumes its run


@pytest.mark.parametrize("words", [slurm_words, kubernetes_words])
def test_every_option_of_torchrun_in_a_job_exists(words):
    from torch.distributed.run import get_args_parser

    given = words()
    found = given[given.index("torchrun") + 1 :]
    arguments = get_args_parser().parse_args(["1" if "$" in word else word for word in found])
    assert arguments.rdzv_backend == "c10d"
    assert arguments.training_script == "latentkit"


def test_the_slurm_job_is_a_shell_script_and_asks_for_a_signal_that_latentkit_heeds():
    path = EXAMPLES / "slurm" / "train.sbatch"
    subprocess.run(["bash", "-n", path], check=True)
    assert "#SBATCH --signal=USR1@" in path.read_text("utf-8")
