"""Asks a server here whether all is well: the container image's health check, which has no curl to ask with.

    python -m worker.probe /live                       the worker's own server, at MNER_HTTP_PORT
    python -m worker.probe http://127.0.0.1:8000/a.png another one

Exit status 0 if the answer's status is 200; else 1, and one line says why. Standard library only: it runs every few
seconds, beside a worker that needs the processor.
"""

import http.client
import os
import sys
from urllib.parse import urlsplit

TIMEOUT_S = 4.0
SHOWN_BYTES = 500


def main() -> int:
    """Ask for what the one argument names."""
    if len(sys.argv) != 2:
        print(f"expected one argument, a path or a URL; received {sys.argv[1:]}", file=sys.stderr)
        return 2
    complaint = why_not_well(sys.argv[1])
    if complaint:
        print(complaint)
    return 1 if complaint else 0


def why_not_well(target: str) -> str:
    """What is wrong, in one line; empty when all is well.

    target  a path at the worker's own server, or an http URL
    """
    url = urlsplit(
        target if "://" in target else f"http://127.0.0.1:{os.environ.get('MNER_HTTP_PORT', '8080')}{target}"
    )
    connection = http.client.HTTPConnection(url.hostname or "", url.port or 80, timeout=TIMEOUT_S)
    try:
        connection.request("GET", url.path)
        answer = connection.getresponse()
        if answer.status == 200:
            return ""
        return f"{url.geturl()}: status {answer.status}: {answer.read(SHOWN_BYTES).decode(errors='replace')}"
    except (OSError, http.client.HTTPException) as error:
        return f"{url.geturl()}: {error!r}"
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
