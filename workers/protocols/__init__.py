"""Threshold-signature protocols as pure functions.

No I/O, no clock and no randomness of their own: a round takes its state, its inbox and fresh
random bytes, and returns the next state and its outbox.
"""
