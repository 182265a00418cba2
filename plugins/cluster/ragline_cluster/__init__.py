"""A Ray cluster: its actors read the texts of an index, and answer batches of questions."""

from ragline_cluster.cluster import RayCluster

__all__ = ["RayCluster"]
