"""Oblivious transfer up to the two-party multiplier. Pure functions; see ../dkls23/README.md.

From the bottom: ``base`` (128 endemic transfers on the curve), ``pprf`` (puncturable trees),
``extension`` (SoftSpoken: thousands of transfers from 128), ``pads`` (rows to random strings),
``multiplication`` (additive shares of products). Each speaks of a sender and a receiver only;
who they are, and who is to blame, is the caller's business.
"""
