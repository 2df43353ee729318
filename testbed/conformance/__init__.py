"""Requirements, checks, findings, verdicts: strangers to everything but traces."""
