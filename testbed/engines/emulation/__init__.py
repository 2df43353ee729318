"""Real kernels: Mininet in Linux namespaces."""
