"""What is known of the paper's own table, to stand beside a reproduction's.

Its measures (OpenL3, PaSST and CLAP on AudioCaps) and its models (341 million parameters, trained on thousands of hours
of recordings) are others: these numbers show the shape of the result, and cannot be compared one by one. Each number
has its source: (s) stands in notes of third parties on the paper, (r) is recalled and unconfirmed; empty cells are
not known.
"""

HEAD = ("model, steps", "FD OpenL3", "KL PaSST", "CLAP", "CCDS", "diversity, MOS", "times real time")
TABLE = (
    ("Stable Audio Open, 100", "", "", "", "", "4.0 (s)", "3.56 (s)"),
    ("flow + Presto, 8", "", "", "", "clearly below ARC (s)", "2.7 (r)", ""),
    ("flow + ARC, 8", "84.43 (r)", "2.24 (r)", "0.27 (r)", "0.41 (r)", "4.4 (s)", "156 (s)"),
    ("flow + ARC, fewest steps", "", "", "", "", "", "440.30 (s)"),
)
