"""Beyond Sigma: what a rule may ask of the past, of other events, and of lists of indicators.

An extension stands in the `custom_attributes` of a rule, so the rule stays valid Sigma for every other tool.
Its ordinary detection says which events it is about; the extension then decides, over those hits, what
counts. docs/beyond-sigma.md is for those who write rules; docs/decisions/0017-beyond-sigma.md says why it is
so.
"""
