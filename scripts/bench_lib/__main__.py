"""`scripts/bench`: measures this service beside its peers and prints the rates, latencies and ratios of the same run."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from bench_lib import (
    apis_rows,
    audit_rows,
    heavy_rows,
    identity_rows,
    main_rows,
    objects_rows,
    peers_venv,
    relay_rows,
    size_rows,
    subscription_rows,
    trail_rows,
    workflow_rows,
)
from bench_lib.load import require_wrk
from bench_lib.mongo import running_mongod
from bench_lib.report import Report, machine
from bench_lib.run import Run

GROUPS = {
    "main": main_rows.measure,
    "trail": trail_rows.measure,
    "sizes": size_rows.measure,
    "huge": trail_rows.measure_huge,
    "identity": identity_rows.measure,
    "audit": audit_rows.measure,
    "apis": apis_rows.measure,
    "workflow": workflow_rows.measure,
    "subscriptions": subscription_rows.measure,
    "objects": objects_rows.measure,
    "heavy": heavy_rows.measure,
    "relays": relay_rows.measure,
}
USUAL = [name for name in GROUPS if name not in ("sizes", "huge", "relays")]


def main() -> None:
    """Runs the groups that were asked for on one mongod, in turn."""
    arguments = _arguments()
    require_wrk()
    peers_python = peers_venv.prepare()
    report = Report()
    print(machine())
    with running_mongod() as (uri, mongod), tempfile.TemporaryDirectory(prefix="dms-tags-bench-") as folder:
        run = Run(uri, mongod, arguments.rounds, arguments.seconds, arguments.scale, peers_python, Path(folder), report)
        for name in arguments.only:
            print(f"{name}: {arguments.rounds} rounds, {arguments.seconds:g} s each")
            GROUPS[name](run)
    print("\n" + report.text(markdown=arguments.markdown))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="rounds; what is reported is their median (default 3)")
    parser.add_argument("--seconds", type=float, default=10, help="length of each load, in seconds (default 10)")
    parser.add_argument(
        "--scale", type=float, default=1.0, help="share of the objects and entries to seed, for a quick look (default 1)"
    )
    parser.add_argument(
        "--only",
        nargs="+",
        choices=GROUPS,
        default=USUAL,
        metavar="ROWS",
        help=f"groups of rows: {', '.join(GROUPS)} (default: all but sizes, huge and relays)",
    )
    parser.add_argument("--markdown", action="store_true", help="print the tables as Markdown")
    return parser.parse_args()


if __name__ == "__main__":
    main()
