"""Prefect flows, one file each. They read like the README's list of steps."""

import os

# Set before Prefect is imported, and only where nobody has: nothing is sent anywhere, and a
# server that starts on two busy cores gets the time that it needs.
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "120")
