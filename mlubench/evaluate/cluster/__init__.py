"""The same shards on the hosts of a Dask cluster."""
