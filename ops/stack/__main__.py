"""`python -m ops.stack`: install what broker and database need, before somebody waits for them."""

from __future__ import annotations

import sys

from ops.stack.errors import StackError
from ops.stack.services import prepare


def main() -> int:
    """Prepare the services, for shell scripts: 0, or 1 and a sentence."""
    try:
        prepare(progress=lambda line: print(line, file=sys.stderr, flush=True))
    except StackError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
