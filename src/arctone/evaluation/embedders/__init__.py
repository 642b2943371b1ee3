"""Embedders: what turns a sound into the numbers that measures compare, each behind one small protocol.

Three come with packages and need no download (`aisfx`, `musicnn`, `corpus-clap`); three are the field's usual ones and
read weights that lie on this machine (`openl3`, `passt`, `clap`).
"""
