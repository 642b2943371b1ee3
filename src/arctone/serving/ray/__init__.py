"""Many machines: the server and batches on a Ray cluster; needs `arctone[scale]`."""
