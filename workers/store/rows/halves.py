"""The halves of keys that can be erased, as a party's rows need them: one for each epoch of a key.

A party without a folder for them seals as if there were none.
"""

from __future__ import annotations

from typing import TypeAlias

from ..sealing import ErasableKeys, ErasedError, SealError, is_erasable

KeyEpoch: TypeAlias = tuple[bytes, int]
"""The session that made a key, and an epoch of it."""


class Halves:
    def __init__(self, keys: ErasableKeys | None) -> None:
        self._keys = keys

    def begin(self) -> None:
        """For a database with no share that can be erased. Raises WitnessError."""
        if self._keys is not None:
            self._keys.begin()

    def made(self, name: KeyEpoch) -> bytes | None:
        """On the disk for good, which waits for that. Raises ErasedError, WitnessError."""
        return None if self._keys is None else self._keys.make(*name)

    def to_seal(self, name: KeyEpoch) -> bytes | None:
        """As it was made before. Raises ErasedError, WitnessError."""
        if self._keys is None:
            return None
        try:
            return self._keys.find(*name)
        except ErasedError:
            raise
        except SealError:  # not here, or damaged, which it says again
            return self._keys.make(*name)

    def to_open(self, sealed: bytes, name: KeyEpoch) -> bytes | None:
        """None if it takes none. Raises SealError if it is not here, ErasedError, WitnessError."""
        if not is_erasable(sealed):
            return None
        key_session, epoch = name
        if self._keys is None:
            raise SealError(
                f"what is sealed of key session {key_session.hex()} does not open: half of its key "
                "is in the party's share_keys_folder, which is not known here"
            )
        return self._keys.find(key_session, epoch)

    def is_over(self, name: KeyEpoch) -> bool:
        """Whether it was erased. Raises WitnessError."""
        return self._keys is not None and self._keys.erased(*name)

    def erase_below(self, key_session: bytes, epoch: int) -> None:
        """From now on nothing of a lower epoch opens, in whatever copy. Raises WitnessError."""
        if self._keys is not None:
            self._keys.erase_below(key_session, epoch)

    def discard(self, name: KeyEpoch) -> None:
        """Of an epoch that was never made. Raises WitnessError."""
        if self._keys is not None:
            self._keys.discard(*name)

    def let_go(self) -> None:
        """Keep none in memory that was read a while ago."""
        if self._keys is not None:
            self._keys.let_go()
