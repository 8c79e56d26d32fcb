"""Where workers have their metrics pages."""

from urllib.parse import urlsplit, urlunsplit

from worker.settings import Settings


def metrics_url(text: str) -> str:
    """A worker's metrics page, from its whole address or host:port. Raises ValueError for what is neither."""
    with_scheme = text if "://" in text else f"http://{text}"
    try:
        url = urlsplit(with_scheme)
        is_usable = url.scheme in ("http", "https") and bool(url.hostname) and (url.port or 0) >= 0
    except ValueError:
        is_usable = False
    if not is_usable:
        raise ValueError(f"received {text!r}, expected a URL such as http://127.0.0.1:8080/metrics, or host:port")
    path = url.path if url.path not in ("", "/") else "/metrics"
    return urlunsplit((url.scheme, url.netloc, path, url.query, ""))


def own_metrics_url(settings: Settings) -> str:
    """Where the worker with these settings has its page, on this machine."""
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - an address to compare with
    host = everywhere.get(settings.http_host, settings.http_host)
    host = f"[{host}]" if ":" in host and not host.startswith("[") else host
    return f"http://{host}:{settings.http_port}/metrics"
