"""Metrics, the embedders they look through, the scoring of folders and models, and listening tests."""
