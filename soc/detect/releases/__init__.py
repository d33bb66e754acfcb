"""Rules as releases: what is imported, what of it runs, and which set of them the sweepers have."""
