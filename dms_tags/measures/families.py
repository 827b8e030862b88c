"""Measures as Prometheus' families of metrics."""

from __future__ import annotations

import platform
from collections.abc import Container, Iterator
from time import time
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from dms_tags.measures.model import Measures
from dms_tags.measures.processes import Group
from dms_tags.version import __version__

QUEUE: Final = ("tenant", "name", "state")


def _gauge(name: str, documentation: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, documentation, value=value)


def build() -> Iterator[Metric]:
    """What runs: the service's version and Python's."""
    told = GaugeMetricFamily("dms_tags_build_info", "The version of the service and of Python", labels=["version", "python"])
    told.add_metric([__version__, platform.python_version()], 1)
    yield told


def of_database(measures: Measures | None) -> Iterator[Metric]:
    """How the database stands, over all tenants; None: nothing was ever measured."""
    yield _gauge(
        "dms_tags_mongodb_up", "Whether MongoDB answered when it was last asked", measures is not None and measures.answers
    )
    if measures is None:
        return
    age = max(0.0, time() - measures.at)
    yield _gauge("dms_tags_measures_age_seconds", "Age of what was read from the database last, in seconds", age)
    yield _gauge("dms_tags_outbox_resources", "Resources with changes that are not in the trail yet", measures.waiting)
    yield _gauge("dms_tags_relay_lag_seconds", "Age of the oldest change that is not in the trail yet, in seconds", measures.lag)
    yield _gauge("dms_tags_leases_held", "Leases that run", measures.leases)
    yield _gauge("dms_tags_signing", "Whether this service signs checkpoints", measures.signing)
    yield _gauge(
        "dms_tags_unsigned_since_restore",
        "Whether the log was not signed since the database was restored",
        measures.unsigned_since_restore,
    )


def of_tenants(measures: Measures | None, tenants: Container[str] | None) -> Iterator[Metric]:
    """How the trail and the queues of these tenants stand, None: of all: each sample has the label `tenant`."""
    if measures is None:
        return
    head = GaugeMetricFamily("dms_tags_trail_head", "Highest position of the trail", labels=["tenant"])
    unsigned = GaugeMetricFamily("dms_tags_unsigned_entries", "Entries that no checkpoint covers yet", labels=["tenant"])
    late = GaugeMetricFamily(
        "dms_tags_unsigned_seconds", "Age of the oldest entry that no checkpoint covers, in seconds", labels=["tenant"]
    )
    signed = GaugeMetricFamily("dms_tags_checkpoint_age_seconds", "Age of the newest checkpoint, in seconds", labels=["tenant"])
    untaken = GaugeMetricFamily(
        "dms_tags_witness_behind", "Checkpoints that a witness has not taken yet", labels=["tenant", "witness"]
    )
    for trail in measures.trails:
        if tenants is not None and trail.tenant not in tenants:
            continue
        head.add_metric([trail.tenant], trail.head)
        unsigned.add_metric([trail.tenant], trail.unsigned)
        late.add_metric([trail.tenant], trail.unsigned_age)
        if trail.checkpoint_age is not None:
            signed.add_metric([trail.tenant], trail.checkpoint_age)
        for kind, count in trail.untaken.items():
            untaken.add_metric([trail.tenant, kind], count)
    depth = GaugeMetricFamily("dms_tags_queue_depth", "Tags in a state of an enforced definition", labels=QUEUE)
    oldest = GaugeMetricFamily(
        "dms_tags_queue_oldest_seconds", "Time since the oldest of them was changed, in seconds", labels=QUEUE
    )
    for row in measures.depths:
        if tenants is not None and row.tenant not in tenants:
            continue
        labels = [row.tenant, row.name, str(row.state)]
        depth.add_metric(labels, row.depth)
        oldest.add_metric(labels, row.oldest)
    yield from (head, unsigned, late, signed, untaken, depth, oldest)
    yield from _of_subscriptions(measures, tenants)
    if tenants is None:
        yield _gauge(
            "dms_tags_series_left_out",
            "Tenants, states of definitions and subscriptions that there was no room for",
            measures.left_out,
        )


def _of_subscriptions(measures: Measures, tenants: Container[str] | None) -> Iterator[Metric]:
    labels = ["tenant", "subscription"]
    lag = GaugeMetricFamily("dms_tags_subscription_lag_positions", "Positions that a subscription lacks", labels=labels)
    late = GaugeMetricFamily(
        "dms_tags_subscription_lag_seconds", "Age of the entry that comes next for a subscription, in seconds", labels=labels
    )
    paused = GaugeMetricFamily(
        "dms_tags_subscription_paused",
        "Whether the service paused a subscription, since nothing could be delivered",
        labels=labels,
    )
    for each in measures.subscriptions:
        if tenants is None or each.tenant in tenants:
            for family, value in ((lag, each.lag), (late, each.lag_seconds), (paused, each.paused)):
                family.add_metric([each.tenant, each.name], value)
    yield from (lag, late, paused)


def of_processes(groups: list[Group]) -> Iterator[Metric]:
    """What the service's processes take, by kind."""
    count = GaugeMetricFamily("dms_tags_processes", "Processes that run", labels=["process"])
    cpu = CounterMetricFamily("dms_tags_process_cpu_seconds", "Processor time, in seconds", labels=["process"])
    memory = GaugeMetricFamily("dms_tags_process_memory_bytes", "Resident memory of all together, in bytes", labels=["process"])
    largest = GaugeMetricFamily("dms_tags_process_largest_bytes", "Resident memory of the largest, in bytes", labels=["process"])
    files = GaugeMetricFamily("dms_tags_process_open_files", "Open files of the one that has most", labels=["process"])
    limit = GaugeMetricFamily("dms_tags_process_max_files", "Files that each may open; 0: any number", labels=["process"])
    since = GaugeMetricFamily(
        "dms_tags_process_start_seconds", "When the oldest was started, in seconds since 1970", labels=["process"]
    )
    for group in groups:
        cpu.add_metric([group.process], group.cpu)
        if not group.count:
            continue
        for family, value in (
            (count, group.count),
            (memory, group.memory),
            (largest, group.largest),
            (files, group.files),
            (limit, group.files_limit),
            (since, group.since),
        ):
            family.add_metric([group.process], value)
    yield from (count, cpu, memory, largest, files, limit, since)
