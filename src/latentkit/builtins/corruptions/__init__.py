"""The built-in corruptions."""
