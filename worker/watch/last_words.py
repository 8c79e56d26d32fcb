"""What the Kafka client last complained of, for whoever has to say why there is no answer."""

import logging


class LastWords(logging.Handler):
    """Keeps what aiokafka last complained of: its exceptions do not say why a broker could not be had."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._text = ""
        self._logger = logging.getLogger("aiokafka")

    def listen(self) -> None:
        """From here on."""
        self._level, self._propagates = self._logger.level, self._logger.propagate
        if self._logger.getEffectiveLevel() > logging.DEBUG:
            # it is ours to say, once
            self._logger.setLevel(logging.WARNING)
            self._logger.propagate = False
        self._logger.addHandler(self)

    def silence(self) -> None:
        """Leave the logger as it was."""
        self._logger.removeHandler(self)
        self._logger.setLevel(self._level)
        self._logger.propagate = self._propagates

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        self._text = record.getMessage()

    def because(self) -> str:
        """To end a sentence with; empty where there was no complaint."""
        return f" ({self._text})" if self._text else ""
