"""One page out of many runs, transfers and studies."""
