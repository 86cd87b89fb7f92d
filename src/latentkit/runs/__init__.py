"""The run folder: manifest, atomic commits, lock, verification."""
