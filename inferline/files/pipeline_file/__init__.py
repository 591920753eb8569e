"""Reading pipeline.yaml: its structure, its graph, its workload."""
