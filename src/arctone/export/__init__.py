"""From torch weights to the graphs of the native engine."""
