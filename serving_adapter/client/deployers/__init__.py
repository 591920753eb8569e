"""Writing models down and deploying them: a module for each kind, named as Clipper's.

Each has ``deploy_...`` for a version of a model, and ``create_endpoint``, which registers an application of the same
name before and links it afterwards. What is written is pickled here and unpickled only where replicas run.
"""
