"""The run's folder: manifest, atomic commits, lock, verification."""
