"""Multi-run reports: one page from several runs, transfers and studies."""
