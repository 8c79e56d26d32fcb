"""A Faust transport that hands over whole fetches and never goes past a post that was not delivered."""

from worker.transport.consumer import Consumer
from worker.transport.faust_app import WorkerApp, new_app

__all__ = ["Consumer", "WorkerApp", "new_app"]
