import sys
from pathlib import Path

# The test sounds lie beside the tests, the benchmark programs in the repository root; neither is an installed package.
for folder in (Path(__file__).parent, Path(__file__).parents[3]):
    sys.path.insert(0, str(folder))
