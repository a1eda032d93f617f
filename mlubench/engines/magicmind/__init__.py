"""MagicMind on Cambricon's MLU cards."""
