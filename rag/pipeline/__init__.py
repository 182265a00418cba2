"""A graph bound to an index: what Python programs use, and what it leans on."""

from rag.pipeline.pipeline import BATCH, Pipeline, load_pipeline, raise_failure, require_local_models

__all__ = ["BATCH", "Pipeline", "load_pipeline", "raise_failure", "require_local_models"]
