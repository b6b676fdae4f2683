"""Messages whose properties cannot be read.

The broker passes on properties that it does not look at, and any producer may write them: text that
is not UTF-8, a time after the year 9999, tables within tables within tables. pamqp raises, and the
connection ends with all that is in flight on it. Then the broker delivers the message again.

After `survive_unreadable`, such a message comes with no properties but a header that says so.
Whoever consumes it refuses it like any other that is not signed.
"""

from __future__ import annotations

from pamqp.commands import Basic
from pamqp.header import ContentHeader

UNREADABLE = "warren-unreadable"
"""In the headers of such a message."""

_unmarshal = ContentHeader.unmarshal


def survive_unreadable() -> None:
    """In this process, whatever reads AMQP frames by pamqp. Doing it twice changes nothing."""
    ContentHeader.unmarshal = _read  # type: ignore[method-assign]


def _read(self: ContentHeader, data: bytes) -> None:
    try:
        _unmarshal(self, data)
    except Exception as error:  # of many kinds, and none of them is worth the connection
        if self.class_id is None:
            raise  # too short to be about any message
        self.properties = Basic.Properties(headers={UNREADABLE: type(error).__name__})
