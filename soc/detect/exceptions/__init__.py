"""Exceptions: Sigma filters with an owner, a reason and an expiry.

`model` says what one is and how its expiry is part of what a rule means, `companions` count what is hidden,
`draft`, `review`, `closing` and `files` are what `soc exception add` does, `usage` is the report of what each
one has hidden, `checks` are the findings of `soc rule lint`.
"""
