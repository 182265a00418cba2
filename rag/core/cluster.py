"""Moved for one release: the cluster is in the plug-in `ragline-cluster`."""

raise ImportError("rag.core.cluster is ragline_cluster now (RayCluster): pip install ./plugins/cluster from a checkout")
