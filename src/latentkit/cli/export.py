"""``latentkit export``."""

from __future__ import annotations

from dataclasses import asdict

import click

from latentkit.cli.common import common_options, load_registry, print_json


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
    default=18,
    show_default=True,
    help="Version of ONNX's operator set.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@common_options
def command(run: str, format_: str, out: str | None, opset: int, as_json: bool) -> None:
    """Write the encoder and decoder of RUN for another runtime, and compare them with the model.

    RUN is the run's folder, its name in ./runs, an unambiguous start or end of that name, or
    'last'. Needs the packages of  pip install 'latentkit[onnx]'.
    """
    load_registry()
    from latentkit.api.export import export

    files = export(run, "onnx", out=out, opset=opset)
    if as_json:
        print_json([{**asdict(file), "path": str(file.path)} for file in files])
        return
    for file in files:
        size = f"{file.path.stat().st_size / 1e6:.1f} MB"
        off = "not compared: onnxruntime is not installed"
        if file.difference is not None:
            off = f"largest difference from the model {file.difference:.1e}"
        click.echo(f"{file.path}  {size}, {off}")
