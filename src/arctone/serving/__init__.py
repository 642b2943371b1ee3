"""Sound for many: over HTTP, from batch files, on a Ray cluster."""
