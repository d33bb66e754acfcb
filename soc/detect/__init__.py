"""Detection: what a rule means, and how events are matched against many of them at once."""
