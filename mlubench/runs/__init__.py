"""What runs leave behind: folders, records, Parquet schemas, history, baselines, caches."""
