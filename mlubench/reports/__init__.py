"""What a run leaves behind: Parquet files, the seed's text files, tables and the HTML page."""
