"""``latentkit export``."""

from __future__ import annotations

from dataclasses import asdict

import click

from latentkit.cli import shared_options


@click.command("export")
@click.argument("run")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["onnx"]),
    default="onnx",
    show_default=True,
    help="Format of the files.",
)
@click.option(
    "--out", metavar="DIR", help="Folder for the files.  [default: RUN-onnx, next to the run]"
)
@click.option(
    "--opset",
    type=click.IntRange(18),
    metavar="N",
    default=18,
    show_default=True,
    help="Version of ONNX's operator set. The newest may not suit the model.",
)
@shared_options.runs_option
@shared_options.json_option()
@shared_options.common_options
def export_command(
    run: str, format_: str, out: str | None, opset: int, runs_dir: str | None, as_json: bool
) -> None:
    """Write the encoder and decoder of RUN as ONNX files, and compare them with the model.

    A model without a decoder has one file only.

    RUN is the run's folder, its name in the folder of runs, an unambiguous start or end of that
    name, or 'last'. Needs the packages of  pip install 'latentkit[onnx]'.
    """
    shared_options.load_registry()
    from latentkit.api.files import export

    files = export(run, "onnx", out=out, opset=opset, runs=runs_dir)
    if as_json:
        shared_options.print_json([{**asdict(file), "path": str(file.path)} for file in files])
        return
    for file in files:
        size = f"{file.path.stat().st_size / 1e6:.1f} MB"
        off = "not compared: onnxruntime is not installed"
        if file.difference is not None:
            off = f"largest difference from the model {file.difference:.1e}"
        shared_options.echo(f"{file.path}  {size}, {off}")
