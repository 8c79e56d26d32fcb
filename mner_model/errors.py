"""What several modules raise: errors, and an error's text on one line."""


class Failure(Exception):
    """What stops a command: its message is one sentence for the person who gave that. Each kind derives from it."""


class CheckpointError(Failure):
    """A checkpoint that is missing, broken or made for something else; the message names path and expectation."""


class DeviceUnavailable(CheckpointError):
    """No fault of the checkpoint: the device that it is wanted on is not there."""


def reason(error: Exception) -> str:
    """What an error says in one line, without path and number of the system's, and without torch's advice and stack."""
    lines = str(getattr(error, "strerror", None) or error).splitlines()
    return next(iter(lines), type(error).__name__).rstrip(".")


def brief(error: Exception) -> str:
    """An error's text on one line of at most 300 characters; torch lists every key that does not fit."""
    text = " ".join(str(error).split())
    return text if len(text) <= 300 else f"{text[:300]} …"
