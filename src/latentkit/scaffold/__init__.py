"""Writes the files of a new plugin: a small distribution that works and passes its own tests."""
