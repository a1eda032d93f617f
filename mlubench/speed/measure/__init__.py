"""Workers that hold networks to be timed, and how they are best kept busy."""
