"""Entry point of ``python -m latentkit``."""

from latentkit.cli.main import main

main()
