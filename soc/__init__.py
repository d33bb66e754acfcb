"""A toolkit for a security operations centre: collect, detect, triage, respond, drill."""

__version__ = "0.1.0"
