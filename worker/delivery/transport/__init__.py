"""A Faust transport that hands over whole fetches and never goes past a post that was not delivered."""

from worker.delivery.transport.consumer import Consumer
from worker.delivery.transport.faust_app import WorkerApp, new_app

__all__ = ["Consumer", "WorkerApp", "new_app"]
