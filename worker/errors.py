"""What can go wrong: each failure says whether to dead-letter, go on without, or stop.

One class per failure, grouped by what the worker does next. The class decides; nobody reads the message to decide.
"""

from enum import IntEnum, StrEnum

from mner_model.posts.image_status import ImageStatus


class ExitStatus(IntEnum):
    """The exit statuses people script against."""

    DONE = 0
    FAILED = 1
    WRONG_USAGE = 2
    STOPPED_UNACKNOWLEDGED = 70
    DRAIN_OVERDUE = 71
    SETTINGS_REFUSED = 78


class DeadReason(StrEnum):
    """Why a post became a dead letter: the closed list behind the `error.reason` header."""

    NOT_UTF8 = "not_utf8"
    NOT_JSON = "not_json"
    SCHEMA = "schema"
    TOO_LARGE = "too_large"
    KEY_MISMATCH = "key_mismatch"
    NO_KEY = "no_key"
    PROCESSING_FAILED = "processing_failed"
    PUBLISH_FAILED = "publish_failed"


class Rejected(Exception):
    """The post can never be tagged; its original bytes go to the dead-letter topic and the stream goes on."""

    def __init__(self, reason: DeadReason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class ImageRefused(Exception):
    """The image cannot be used; the post is tagged from its text, and the record says why."""

    def __init__(self, status: ImageStatus, reason: str) -> None:
        super().__init__(f"{status}: {reason}")
        self.status = status
        self.reason = reason


class Fatal(Exception):
    """The worker must stop without committing past the posts it holds; whoever supervises it starts it again."""

    exit_status = ExitStatus.STOPPED_UNACKNOWLEDGED


class Unpublishable(Fatal):
    """Neither a record nor its dead letter reached the broker, so its post stays unacknowledged and comes again."""


class ModelBroken(Fatal):
    """The device or model can do no further batch in this process, such as after a CUDA error; only a new one can."""


class AddressUnavailable(Fatal):
    """The health server cannot listen where it was told to, usually because another process already does."""


class SettingsRefused(Exception):
    """The environment does not make a valid configuration; nothing was started.

    problems  every problem found, one sentence each, secrets masked
    """

    exit_status = ExitStatus.SETTINGS_REFUSED

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems
