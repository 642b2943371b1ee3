"""The runner for small devices: `arctone generate` without the packages of a terminal, and with little memory."""
