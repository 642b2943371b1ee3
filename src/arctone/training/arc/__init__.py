"""Adversarial relativistic-contrastive (ARC) post-training."""
