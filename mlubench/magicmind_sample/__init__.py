"""The scripts of MagicMind's sample, by their own flags and files."""
