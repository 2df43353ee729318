"""Small deviations, each with a name, a role and the requirements that it breaks."""
