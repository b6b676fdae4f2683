from __future__ import annotations

import os

# numpy's linear algebra starts a thread for each core when it is loaded, and the products in
# protocols/ot are too small to share. This runs before any module of ours loads it; whoever has
# loaded it already made the choice.
for _threads in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")
