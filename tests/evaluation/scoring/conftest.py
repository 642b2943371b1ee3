import sys
from pathlib import Path

# The test sounds and the tiny embedder are those of the metrics.
sys.path.insert(0, str(Path(__file__).parents[1] / "metrics"))
