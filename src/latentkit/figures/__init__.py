"""Matplotlib figures out of arrays; nothing here reads a run folder."""
