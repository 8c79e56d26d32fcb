"""The Faust app: one topic read through this transport, and nothing of Faust that this worker has no use for."""

import logging

import faust
from faust.app.base import BootStrategy

from worker.delivery.transport.consumer import Consumer, Transport
from worker.settings import Settings

FETCHES_BUFFERED = 8


class _KafkaConsumerOnly(BootStrategy):
    """Faust's web server would listen on all addresses even where its setting says that it is off.

    Its producer has nothing to do: the publisher has one of its own, which outlives the app.
    """

    enable_web = False
    enable_kafka_producer = False


class WorkerApp(faust.App):
    """A Faust app with this worker's transport."""

    logger = logging.getLogger("faust")  # mode gives it that of this module otherwise, and it says much
    BootStrategy = _KafkaConsumerOnly
    consumer: Consumer


def new_app(settings: Settings, folder: str) -> WorkerApp:
    """The Faust app, not started; folder is where it keeps what it insists on writing."""
    app = WorkerApp(
        settings.group,
        broker=[f"kafka://{broker}" for broker in settings.brokers],
        broker_session_timeout=settings.session_timeout_s,
        broker_heartbeat_interval=settings.heartbeat_s,
        stream_buffer_maxsize=FETCHES_BUFFERED,
        stream_wait_empty=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        datadir=folder,
        autodiscover=False,
    )
    app.finalize()
    app.transport = Transport(app.conf.broker_consumer, app, settings=settings)
    return app
