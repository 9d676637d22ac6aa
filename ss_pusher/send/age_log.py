"""What is said in the log of samples that were dropped because they are too old."""

import logging
import math
from collections.abc import Callable
from typing import Final

from ss_pusher.send.condition import REMIND_AFTER

logger = logging.getLogger(__name__)


class AgeLog:
    """One line at the first drop, then at most one an hour, with all there were. `clock` is in seconds."""

    def __init__(self, endpoint: str, setting: str, clock: Callable[[], float]) -> None:
        """`setting` is the name of the one that they are too old for."""
        self._endpoint: Final = endpoint
        self._setting: Final = setting
        self._clock: Final = clock
        self._samples = 0
        self._said_at = -math.inf

    def tell(self, samples: int) -> None:
        """So many more were dropped."""
        self._samples += samples
        now = self._clock()
        if now - self._said_at >= REMIND_AFTER:
            words = "%s: samples older than %s are dropped, %d since the start"
            logger.warning(words, self._endpoint, self._setting, self._samples)
            self._said_at = now
