"""Sigma correlations: a second stage over the hits of rules on single events.

definition  what a correlation says: which rules, which windows, which condition
reading     from a rule's text to a definition, with every problem at its place
windows     the mathematics of sliding windows, as pure functions
hits        the hits that a group keeps, in pages of bounded size
state       all that is known of one group: its hits, and the bursts in them
engine      which hit belongs to which group of which correlation
alerts      writes an alert for each burst (also for other stages with bursts of their own)
stage       the stage of a sweep: state documents by compare-and-set
offline     the same over files, without a store
"""
