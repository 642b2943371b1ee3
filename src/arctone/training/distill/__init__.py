"""Baselines of few steps: consistency and distribution-matching distillation."""
