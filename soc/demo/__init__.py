"""A shipped day of logs, with an attack in it and without."""
