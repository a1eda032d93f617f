"""What can be run on, and how shards reach it."""
