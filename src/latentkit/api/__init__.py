"""The Python API for notebooks and scripts; the command line is a thin layer over it."""

from latentkit.caches import prepare

prepare()
