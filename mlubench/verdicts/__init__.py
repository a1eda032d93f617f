"""Whether a run is worse than another: gates, thresholds, JUnit."""
