"""Source branch and asynchronous target adaptation (paper, section 3.2)."""
