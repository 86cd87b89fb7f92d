"""Numbers about models and maps; nothing here draws."""
