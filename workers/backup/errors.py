from __future__ import annotations


class BackupError(Exception):
    """What is wrong with a backup, or with restoring it here, and what to do. Never a secret."""
