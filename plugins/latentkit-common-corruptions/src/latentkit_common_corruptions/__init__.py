"""Common image corruptions of published benchmarks for latentkit."""
