"""Whole pipelines on the core: each query walks the graph, from queue to queue."""

from serving_adapter.core.pipelines.graph import Graph
from serving_adapter.core.pipelines.outputs import Output
from serving_adapter.core.pipelines.serving import PipelineCore, Reply, ServedPipeline, Visit

__all__ = ["Graph", "Output", "PipelineCore", "Reply", "ServedPipeline", "Visit"]
