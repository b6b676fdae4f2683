"""What a worker depends on may not be there yet when it starts."""

from __future__ import annotations

import logging

from tenacity import (
    AsyncRetrying,
    before_sleep_log,
    retry_if_exception_type,
    stop_after_delay,
    wait_random_exponential,
)

PATIENCE_S = 60
LONGEST_S = 5.0
"""Between two attempts."""

logger = logging.getLogger(__name__)


def patiently(*errors: type[Exception]) -> AsyncRetrying:
    """Attempts, until one does not end in one of these errors. The last one's passes."""
    return AsyncRetrying(
        retry=retry_if_exception_type(errors),
        wait=wait_random_exponential(multiplier=0.2, max=LONGEST_S),
        stop=stop_after_delay(PATIENCE_S),
        before_sleep=before_sleep_log(logger, logging.WARNING),
        reraise=True,
    )
