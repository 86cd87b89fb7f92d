"""Matplotlib figures drawn from arrays; nothing here reads a run's folder."""
