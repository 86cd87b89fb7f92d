"""Runs of every kind: folder, context, stages and life cycle; and autoencoder runs."""
