import pytest

from worker.settings import Settings
from worker.watch.top.addresses import metrics_url, own_metrics_url


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("worker:8080", "http://worker:8080/metrics"),
        ("http://worker:8080", "http://worker:8080/metrics"),
        ("http://worker:8080/", "http://worker:8080/metrics"),
        ("https://host/mner/metrics?a=1", "https://host/mner/metrics?a=1"),
        ("[::1]:8080", "http://[::1]:8080/metrics"),
    ],
)
def test_a_worker_is_named_by_its_page_or_by_host_and_port(text: str, url: str) -> None:
    assert metrics_url(text) == url


@pytest.mark.parametrize("text", ["", "ftp://host/metrics", "http://", "host:port", "http://[::1/metrics"])
def test_anything_else_is_refused_with_what_was_received_and_expected(text: str) -> None:
    with pytest.raises(ValueError, match="expected a URL such as") as refused:
        metrics_url(text)
    assert repr(text) in str(refused.value)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:9090/metrics"),
        ("0.0.0.0", "http://127.0.0.1:9090/metrics"),
        ("::", "http://[::1]:9090/metrics"),
        ("fd00::7", "http://[fd00::7]:9090/metrics"),
        ("node-7", "http://node-7:9090/metrics"),
    ],
)
def test_the_own_worker_is_where_its_settings_let_it_listen(host: str, url: str) -> None:
    assert own_metrics_url(Settings.load({"MNER_HTTP_HOST": host, "MNER_HTTP_PORT": "9090"})) == url
