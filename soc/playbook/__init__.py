"""Playbooks: the model, the linter, and the runner with its journal."""
