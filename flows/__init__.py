"""Flows: the search as Prefect runs it, its workers and server, and the command line."""
