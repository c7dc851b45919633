"""Servers that are not there, or are something else."""

import http.server
import threading

import pytest

from defect_surrogate.errors import ServiceError
from flows.service import LocalServer, check_server


def test_nothing_listens():
    with pytest.raises(ServiceError, match=r"no Prefect server answers at PREFECT_API_URL=http://127\.0\.0\.1:9/api"):
        check_server("http://127.0.0.1:9/api")


def test_another_program_answers():
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"status": "other"}')

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(ServiceError, match="not a healthy Prefect server"):
            check_server(f"http://127.0.0.1:{server.server_port}/api")
        server.shutdown()


def test_a_local_server_that_cannot_start_names_its_log(tmp_path):
    (tmp_path / "prefect.db").mkdir()
    server = LocalServer(tmp_path)
    try:
        with pytest.raises(ServiceError, match=r"server\.log"):
            server.wait()
    finally:
        server.stop()


def test_a_local_server_answers_and_is_gone_when_stopped(tmp_path):
    server = LocalServer(tmp_path)
    try:
        url = server.wait()
        assert check_server(url) == url
    finally:
        server.stop()
    with pytest.raises(ServiceError):
        check_server(url)
    assert (tmp_path / "prefect.db").is_file()
