"""``mlubench run``: a compiled network measured as mm_run does."""
