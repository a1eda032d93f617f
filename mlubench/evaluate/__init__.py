"""Accuracy of a network in several precisions."""
