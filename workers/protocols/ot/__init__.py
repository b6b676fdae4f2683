"""Oblivious transfer up to the two-party multiplier. Pure functions; see ../dkls23/README.md.

From the bottom: ``base`` (128 endemic transfers on the curve), ``pprf`` (puncturable trees),
``extension`` (SoftSpoken: thousands of transfers from 128), ``pads`` (rows to random strings),
``multiplication`` (additive shares of products). Each speaks of a sender and a receiver only;
who they are, and who is to blame, is the caller's business.
"""

from __future__ import annotations

import os

# numpy's linear algebra starts a thread for each core when it is loaded, and these products are
# too small to share. This runs before any module of the package loads it; whoever has loaded it
# already has decided for himself.
for _threads in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")
