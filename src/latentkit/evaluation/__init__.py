"""Measurements of models and maps, without plotting."""
