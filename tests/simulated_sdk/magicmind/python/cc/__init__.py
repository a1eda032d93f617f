"""Simulated: where the real package has its compiled side."""
