"""Studies: trials that are runs, what they are worth, and the page that comes of them."""
