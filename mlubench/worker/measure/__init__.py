"""The worker's end of measuring: load, steady state, requests timed."""
