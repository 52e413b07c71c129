"""One folder a topic; pipelines/definitions.py finds whatever they define."""
