"""Follows runs and studies of latentkit in MLflow."""
