"""The training loop, its checkpoints, devices and precision."""
