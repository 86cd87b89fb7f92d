"""Find and load plugins, and look up parts by name."""
