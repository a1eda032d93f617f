"""What carries out the simulated SDK; nothing outside tests imports from here."""
