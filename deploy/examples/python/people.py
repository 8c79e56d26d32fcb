#!/usr/bin/env python3
"""Print the people who are mentioned, as they are mentioned, until Ctrl-C.

pip install aiokafka
python people.py [--brokers HOST:PORT,…] [--topic entities.per] [--from latest|earliest] [--group NAME]
"""

import argparse
import asyncio
import json
import logging
import os
import re
import signal
import sys
from collections import OrderedDict
from contextlib import suppress
from itertools import chain

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import CommitFailedError, KafkaConnectionError

# Delivery is at least once: after a restart or a rebalance of the worker some mentions come again, with the same id.
REMEMBERED_IDS = 100_000


async def main() -> None:
    """Read mentions and print each once."""
    options = parse_options()
    sys.stdout.reconfigure(encoding="utf-8", line_buffering=True)  # names are in every script, and read as they come
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)

    consumer = AIOKafkaConsumer(
        bootstrap_servers=options.brokers,
        # Without a group every run reads all partitions, from where --from says. With one, a run goes on where the
        # last one stopped, --from counts the first time only, and runs side by side share the partitions.
        group_id=options.group,
        auto_offset_reset=options.start,
        enable_auto_commit=False,
    )
    try:
        logging.disable()  # what is wrong is said below, once
        await consumer.start()
        # In the list of all: a broker may make a topic that it is asked for by name, and not as the worker needs it.
        if options.topic not in await consumer.topics():
            sys.exit(f"no topic {options.topic} at {options.brokers}; `mner-worker topics` makes the worker's")
        logging.disable(logging.NOTSET)
        consumer.subscribe([options.topic])
        await print_each(consumer, stopped, in_group=options.group is not None)
    except KafkaConnectionError as error:
        sys.exit(f"no broker at {options.brokers}: {error}")
    finally:
        await consumer.stop()


async def print_each(consumer: AIOKafkaConsumer, stopped: asyncio.Event, *, in_group: bool) -> None:
    """Print the mentions that come, until it is stopped."""
    seen = Seen(REMEMBERED_IDS)
    while not stopped.is_set():
        batches = await consumer.getmany(timeout_ms=500)
        for message in chain.from_iterable(batches.values()):
            person = json.loads(message.value)
            if seen.is_new(person["id"]):
                print(one_line(f"{person['text']} ({person['confidence']:.0%}) in post {person['post_id']}"))
        if in_group and batches:
            with suppress(CommitFailedError):  # the group gave the partition to another run, which repeats these
                await consumer.commit()  # after the work, not before: a crash in between repeats, and loses nothing


def parse_options() -> argparse.Namespace:
    """What was asked for on the command line."""
    parser = argparse.ArgumentParser(description="Print the people who are mentioned, as they are mentioned.")
    parser.add_argument("--brokers", type=brokers, default="127.0.0.1:9092", help="host:port, separated by commas")
    parser.add_argument("--topic", default="entities.per")
    parser.add_argument("--from", dest="start", choices=("latest", "earliest"), default="latest")
    parser.add_argument("--group", help="remember what was read under this name")
    return parser.parse_args()


def brokers(text: str) -> str:
    """Addresses as they should be; aiokafka takes an address without a port for another than was meant."""
    if not re.fullmatch(r"[^\s,]+:\d+(,[^\s,]+:\d+)*", text):
        raise argparse.ArgumentTypeError(f"received {text!r}, expected HOST:PORT, separated by commas")
    return text


class Seen:
    """The last ids that came by: enough to know a repetition, and no more memory than that."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._ids: OrderedDict[str, None] = OrderedDict()

    def is_new(self, mention_id: str) -> bool:
        """Whether this id comes for the first time; it is remembered."""
        if mention_id in self._ids:
            return False
        self._ids[mention_id] = None
        if len(self._ids) > self._size:
            self._ids.popitem(last=False)
        return True


def one_line(text: str) -> str:
    """The text without line breaks and terminal escapes: strangers wrote it."""
    return re.sub(r"[\s\x00-\x1f\x7f-\x9f]+", " ", text)


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except BrokenPipeError:  # `| head` had enough; what is left in the buffer goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
