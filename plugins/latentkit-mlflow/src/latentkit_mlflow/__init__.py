"""Logs runs and studies of latentkit to MLflow."""
