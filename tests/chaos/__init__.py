"""Campaigns of faults: ``python -m tests.chaos`` (make chaos), and a short part of each in tests.

A campaign is a module with a function ``campaign(chance, whole) -> Counts``, named in ``CAMPAIGNS``
of ``__main__``; ``whole`` is an undisturbed evaluation to compare with. What it draws by lot it
draws from ``chance.lot``, so that a seed repeats it.
"""
