"""HTML reports of single runs, and pages that combine several runs."""
