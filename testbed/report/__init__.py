"""What a person or a build server reads of a run."""
