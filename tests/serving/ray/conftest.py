"""A Ray cluster of two machines, both of which are this one. Skipped where Ray is not installed."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="package")
def ray() -> Iterator[Any]:
    """Ray, connected to a cluster of two nodes with one processor each."""
    pytest.importorskip("ray", reason="needs Ray: make scale")
    # Read when Ray starts: nothing goes out, workers find the package under test, and its threads are few.
    os.environ |= {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_DISABLE_MEMORY_MONITOR": "1",
        "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
        "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]),
    }
    import ray as module
    from ray.cluster_utils import Cluster

    each = {"num_cpus": 1, "object_store_memory": 100 * 2**20, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=each)
    cluster.add_node(**each)
    module.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)
    yield module
    module.shutdown()
    cluster.shutdown()
