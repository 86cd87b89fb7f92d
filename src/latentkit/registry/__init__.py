"""Find plugins, load them, and answer what a name means."""
