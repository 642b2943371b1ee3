"""Blind listening tests: built from folders of sound, answered by people, analysed with the listeners' consistency in view.

`build` makes a test, `analysis` reads its answers. Everything imports numpy only.
"""
