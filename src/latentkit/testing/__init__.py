"""Checks that a plugin's author runs over a part of their own."""
