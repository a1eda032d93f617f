"""Shared drawing and text: console, plots, page templates."""
