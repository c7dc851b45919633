"""Where work runs: profiles of clusters, their batch jobs, and the Dask workers in these."""
