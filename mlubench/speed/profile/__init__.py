"""``mlubench layers``: how long each layer takes."""
