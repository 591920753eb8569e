"""The decisions of the serving core: queues, batches, replicas, cache, selection; no I/O, no clock, no event loop."""
