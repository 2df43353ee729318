"""Third-party programs in the place of roles."""
