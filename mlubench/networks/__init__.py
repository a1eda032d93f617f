"""From a name to a compiled network: choose, fetch, import, calibrate, compile, inspect."""
