"""Where images lie and what they show."""
