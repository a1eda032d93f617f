"""How fast a network is: benchmarks, mm_run, layer times."""
