"""What happened on the wires: records, arrows, captures, ladders."""
