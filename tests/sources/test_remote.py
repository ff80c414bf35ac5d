"""Sources behind URLs, against moto's S3 server and a plain HTTP server."""

from __future__ import annotations

import gzip
import io
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.sources.conftest import params, read, task_of

from ingot.errors import SourceError
from ingot.sources.files import discover
from ingot.sources.ingest import ingest
from ingot.sources.observe import observe
from ingot.store.lake import Lake

FILES = {"raw/b.jsonl": b'{"a":1}\n{"a":2}\n', "raw/a.json.gz": gzip.compress(b'[{"a":3}]'),
         "raw/sub/c.csv": b"x,y\n1,2\n", "raw/readme.md": b"#"}  # fmt: skip


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    import obstore
    from moto.server import ThreadedMotoServer
    from obstore.store import from_url

    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("AWS_ENDPOINT_URL", endpoint), ("AWS_ACCESS_KEY_ID", "k"), ("AWS_SECRET_ACCESS_KEY", "s"),
                            ("AWS_REGION", "us-east-1")):  # fmt: skip
            patch.setenv(name, value)
        import urllib.request

        urllib.request.urlopen(urllib.request.Request(f"{endpoint}/data", method="PUT")).close()
        store = from_url("s3://data", config={"endpoint": endpoint}, client_options={"allow_http": True})
        for name, data in FILES.items():
            obstore.put(store, name, data)
        table = io.BytesIO()
        pq.write_table(pa.table({"a": [1, 2]}), table)
        obstore.put(store, "tables/t.parquet", table.getvalue())
        yield "s3://data"
    server.stop()


def test_listing(bucket: str) -> None:
    def names(pattern: str) -> list[str]:
        return [ref.uri.removeprefix(f"{bucket}/") for ref in discover(f"{bucket}/{pattern}", Path())]

    assert names("raw") == ["raw/a.json.gz", "raw/b.jsonl", "raw/sub/c.csv"]
    assert names("raw/*.js*") == ["raw/a.json.gz", "raw/b.jsonl"]
    assert names("raw/**/*.csv") == ["raw/sub/c.csv"]
    assert names("raw/b.jsonl") == ["raw/b.jsonl"]
    with pytest.raises(SourceError) as caught:
        names("raw/*.parquet")
    assert caught.value.code == "E201"


def test_reading(bucket: str, lake: Lake) -> None:
    refs = discover([f"{bucket}/raw", f"{bucket}/tables/*"], Path())
    seen = observe(refs, {"source": "s"})
    found = []
    for arrival in seen.arrivals:
        base = params(__file__, arrival.uri)
        values = {**base, **{name: getattr(arrival, name) for name in ("file", "sha256", "check", "size")}}
        found += [(row["uri"], row["raw"]) for row in read(lake, ingest(lake, task_of(values)))]
    assert found == [
        (f"{bucket}/raw/a.json.gz", b'{"a":3}'), (f"{bucket}/raw/b.jsonl", b'{"a":1}'),
        (f"{bucket}/raw/b.jsonl", b'{"a":2}'),
        (f"{bucket}/raw/sub/c.csv", b"1,2"), (f"{bucket}/tables/t.parquet", b'{"a":1}'),
        (f"{bucket}/tables/t.parquet", b'{"a":2}'),
    ]  # fmt: skip
    assert observe(refs, {"source": "s"}, cache=seen.cache).arrivals == seen.arrivals


def test_http(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(FILES["raw/b.jsonl"])

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_port}"
        refs = discover(f"{url}/a.jsonl", tmp_path)
        assert [(ref.uri, ref.size) for ref in refs] == [(f"{url}/a.jsonl", 16)]
        with pytest.raises(SourceError) as caught:
            discover(f"{url}/missing.jsonl", tmp_path)
        assert caught.value.code == "E201"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
