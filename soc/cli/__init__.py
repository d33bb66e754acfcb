"""The command line: one file per noun, and no logic of its own."""
