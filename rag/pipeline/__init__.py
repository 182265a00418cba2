"""A graph bound to an index: what Python programs use, and what it leans on."""

from rag.pipeline.load import load_pipeline
from rag.pipeline.pipeline import BATCH, Pipeline, raise_failure

__all__ = ["BATCH", "Pipeline", "load_pipeline", "raise_failure"]
