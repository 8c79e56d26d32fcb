"""What became of each letter that was to be sent again: told as it happens, and summed up."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from rich.text import Text

from worker.watch.dead.letter import DeadLetter
from worker.watch.dead.listing import short_key
from worker.watch.output import by_kind, print_json, say, terminal
from worker.watch.record_view import printable, text_or_base64


@dataclass(frozen=True, slots=True)
class WhyNot:
    """Why a letter cannot be sent: in a few words that many have in common, and of this one."""

    kind: str
    detail: str


class Report:
    """JSON lines for programs, one a letter; for people those that were not sent, and the sum of it all."""

    def __init__(self, dry_run: bool) -> None:
        self._console = terminal()
        self._dry_run = dry_run
        self._sent: Counter[str] = Counter()
        self._not_sent: Counter[str] = Counter()
        self.failed = False

    def sent(self, letter: DeadLetter, confirmed: Any) -> None:
        """The broker has it."""
        self._sent[letter.source.topic] += 1
        if self._console is None:
            place = {"topic": confirmed.topic, "partition": confirmed.partition, "offset": confirmed.offset}
            print_json(_place(letter) | {"sent": place})

    def would_send(self, letter: DeadLetter, partition: int | None) -> None:
        """It is one of those that would be sent, to this partition or, None, to that of its key."""
        topic = letter.source.topic
        self._sent[topic] += 1
        if self._console is None:
            about = {"failed_at": letter.failed_at, "reason": letter.reason, **text_or_base64("key", letter.key)}
            print_json(_place(letter) | about | {"would_send": {"topic": topic, "partition": partition}})
        else:
            where = topic if partition is None else f"{topic} {partition}"
            self._line(letter, f"{letter.failed_at}  {short_key(letter)}  would go to {where}", "")

    def not_sent(self, letter: DeadLetter, why_not: WhyNot) -> None:
        """It is not, or cannot be, sent."""
        self.failed = True
        self._not_sent[why_not.kind] += 1
        if self._console is None:
            print_json(_place(letter) | {"not_sent": why_not.detail})
        else:
            self._line(letter, f"not sent: {why_not.detail}", "yellow")

    def stopped(self, why: str) -> None:
        """Before all were sent."""
        self.failed = True
        say(why)

    def summary(self, dead_topic: str) -> None:
        """How many were sent where, and how many were not, and why."""
        what = "would be sent again" if self._dry_run else "sent again"
        not_sent = f"; {self._not_sent.total():,} not sent ({by_kind(self._not_sent)})" if self._not_sent else ""
        say(f"{dead_topic}: {what}: {by_topic(self._sent)}{not_sent}")

    def _line(self, letter: DeadLetter, text: str, style: str) -> None:
        assert self._console is not None
        place = f"{letter.place.partition}:{letter.place.offset}"
        line = Text.assemble((f"{place:<10}", "bold"), f"  {printable(letter.reason)}  ", (printable(text), style))
        self._console.print(line, soft_wrap=True)


def _place(letter: DeadLetter) -> dict[str, int]:
    return {"partition": letter.place.partition, "offset": letter.place.offset}


def by_topic(counts: Counter[str]) -> str:
    """As in `3 to posts and 1 to posts.old`; `none` of nothing."""
    return " and ".join(f"{count:,} to {topic}" for topic, count in counts.items()) or "none"
