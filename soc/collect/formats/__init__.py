"""Formats: what turns the bytes of a record into named raw values, before a collector maps them to ECS."""
