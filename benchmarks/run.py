"""All benchmarks, one command: prints the Markdown that docs/performance.md quotes.

    python -m benchmarks.run               1 GB for the whole job, 100 MB for the comparison (about an hour on two cores)
    python -m benchmarks.run --quick       10 MB and 4 MB, to see that everything works; its figures mean little
"""

from __future__ import annotations

import argparse
import shutil
import time

from benchmarks import loader, packing, peers, whole_job
from benchmarks.make_data import size_of
from benchmarks.measure import child, machine

QUICK, QUICK_PEERS = 10 * 10**6, 4 * 10**6


def warm() -> None:
    """Compile what is compiled once per machine, on a small input, so that no measured run pays for it."""
    child("benchmarks.job", whole_job.fresh("warm"), whole_job.data(10**6, 2))


def main() -> None:
    """Print each part as soon as it is done."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", default="1GB", type=size_of)
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    size, small = (QUICK, QUICK_PEERS) if given.quick else (given.size, max(given.size // 10, QUICK_PEERS))
    started = time.perf_counter()
    print(f"{machine()}\n", flush=True)
    warm()
    print(whole_job.report(size), flush=True)
    print(peers.report(small), flush=True)
    print(packing.report(), flush=True)
    print(loader.report(str(whole_job.DATA / "lakes" / "peers")), flush=True)
    shutil.rmtree(whole_job.DATA / "lakes")
    print(f"All of it took {(time.perf_counter() - started) / 60:.1f} minutes.")


if __name__ == "__main__":
    main()
