"""``make server``: Prefect's server, worker, deployments, pages and alerts."""
