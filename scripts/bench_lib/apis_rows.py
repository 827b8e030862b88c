"""Rows `apis`: an update through each of the three APIs, on one service, with the identity that each asks for."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import httpx

from bench_lib import load
from bench_lib.identity_rows import as_bearer
from bench_lib.load import OBJECTS, Request
from bench_lib.report import Target
from bench_lib.run import Run, add_tags

CHAINS_PART = "chain tags API: alter-tag, the value alone"
DATABASE = "bench_apis"
DMS, METADATA, CHAINS = "DMS: update a tag", "metadata API: PUT a value", "chain tags API: alter-tag"


def measure(run: Run) -> None:
    """Each round loads the three APIs of the same service, one after the other."""
    run.prepared(DATABASE)
    token = run.command(DATABASE, "token", "create", "--name", "bench", "--allow", "read,write,admin")[-1]
    bearer = {"Authorization": f"Bearer {token}"}
    contact = ("--name", "Bench", "--email", "bench@example.org", "--phone", "+31200000000")
    run.command(DATABASE, "chain", "add", "--id", "1", *contact)
    key = run.command(DATABASE, "session", "create", "--user", "7", "--chain", "1:read,write,delete")[-1]
    session = {"X-Spaaza-Session-User-Id": "7", "X-Spaaza-Session-Key": key}
    with run.service(DATABASE, auth="tokens") as service:
        add_tags(service, bearer)
        put = _put_value(service.address, bearer)
        ids = _chain_tags(service.address, session)
        for _ in range(run.rounds):
            run.measure(DMS, service, as_bearer(load.UPDATE_TAG, token))
            run.measure(METADATA, service, put)
            run.measure(CHAINS, service, _alter_tag(ids, session, ',"active":true'))
            run.measure(CHAINS_PART, service, _alter_tag(ids, session))
    run.report.targets += [
        Target("PUT value, by the DMS update", lambda report: report.ratio(METADATA, DMS), least=0.9, unit=" x"),
        Target("alter-tag, by the DMS update", lambda report: report.ratio(CHAINS, DMS), least=0.9, unit=" x"),
        Target("alter-tag, the value alone", lambda report: report.ratio(CHAINS_PART, DMS), least=0.9, unit=" x"),
    ]


def _put_value(address: str, bearer: dict[str, str]) -> Request:
    """Makes a definition, and values of it on as many sites as there are objects; the request puts others there."""
    with httpx.Client(base_url=address, headers=bearer, timeout=30) as client, ThreadPoolExecutor(8) as pool:
        made = client.post("/tags", json={"key": "city", "color": "#336699", "mandatory_on": []}).raise_for_status()
        values = f"/tags/{made.json()['id']}/values/site"

        def add(number: int) -> None:
            body = {"correlation_type": "site", "value": f"value {number % 500 + 1}"}
            client.put(f"{values}{number}", json=body).raise_for_status()

        list(pool.map(add, range(1, OBJECTS + 1)))
    path = f'"{values}" .. math.random(1, {OBJECTS})'
    body = """'{"correlation_type":"site","value":"value ' .. math.random(1, 500) .. '"}'"""
    return Request("PUT", path, {**bearer, "Content-Type": "application/json"}, body)


def _chain_tags(address: str, session: dict[str, str]) -> tuple[int, int]:
    """Adds as many chain tags as there are objects; the first and the last of their ids."""
    with httpx.Client(base_url=address, headers=session, timeout=30) as client, ThreadPoolExecutor(8) as pool:

        def add(number: int) -> int:
            body = {"chain_id": 1, "value": f"value {number}", "model_class": "bench"}
            answer = client.post("/auth/add-tag", json=body)
            answer.raise_for_status()
            return int(answer.json()["results"]["tag"]["id"])

        ids = sorted(pool.map(add, range(OBJECTS)))
    return ids[0], ids[-1]


def _alter_tag(ids: tuple[int, int], session: dict[str, str], also: str = "") -> Request:
    """Alters the value of one of the tags, and `also`: with `active`, as in the seed's own request, nothing need be read first."""
    body = f"""'{{"id":' .. math.random({ids[0]}, {ids[1]}) .. ',"value":"value ' .. math.random(1, 9999) .. '"{also}}}'"""
    return Request("POST", '"/auth/alter-tag"', {**session, "Content-Type": "application/json"}, body)
