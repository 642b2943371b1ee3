"""Blind listening tests: from folders of sound to a table of opinions.

`build` makes a test, `analysis` reads its answers. Everything imports numpy only.
"""
