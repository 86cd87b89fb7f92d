"""Classifiers on a trained encoder: the network, its labels, and its saved weights."""
