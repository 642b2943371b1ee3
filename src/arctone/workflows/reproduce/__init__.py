"""The paper in miniature: data, flow, ARC, rivals, ablations, measures and a report, within a budget of time."""
