"""The paper in miniature: data, flow, ARC, baselines, ablations, measures and a report, within a budget of time."""
