"""Who carries bytes and tells the time."""
