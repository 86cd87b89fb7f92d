"""A run as a sequence of stages. Each stage reads committed artefacts and commits its own."""
