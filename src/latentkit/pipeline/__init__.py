"""A run as stages, each of which reads committed artefacts and commits its own."""
