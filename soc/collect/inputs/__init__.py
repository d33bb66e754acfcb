"""Inputs: where the bytes come from, and which life of which file they belong to."""
