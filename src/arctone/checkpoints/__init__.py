"""Weights on disk: folders, graphs, adapters, and the formats of published models."""
