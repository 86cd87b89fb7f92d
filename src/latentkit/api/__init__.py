"""What a notebook uses; the command line is a thin face over it."""
