"""Checks that a plugin's author runs on their own parts."""
