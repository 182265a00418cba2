"""What legs keep on disk. The table of vector structures, readable without loading any."""

from rag.core.registry import Registry

STRUCTURES = Registry(
    "structure",
    {
        "flat": "retrievers.stores.structures:Flat",
        "hnsw": "retrievers.stores.structures:Hnsw",
        "ivf_pq": "retrievers.stores.coarse:IvfPq",
        "rabitq": "retrievers.stores.coarse:RaBitQ",
    },
)
