"""The service of a group: one Prefect server with our deployments, a worker, and the reports, started together."""
