"""`warren doctor`: what has to be true of a Warren that works, looked at by whoever has its files.

A module for each group of checks; what they find out, other folders know how to. Nothing here
changes anything: see `ops/decisions/0072-doctor-only-looks.md`.
"""
