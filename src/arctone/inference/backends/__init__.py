"""What computes: the same four parts on graphs without torch (native), or on torch modules."""
