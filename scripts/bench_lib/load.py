"""The load: wrk with a generated script, the same connections and threads for everyone."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

OBJECTS = 1000
"""Objects (items) that a run changes at random."""

SCRIPT = """
local started = 0
setup = function(thread) started = started + 1; thread:set("number", started) end
init = function(args) math.randomseed(os.time() * 100 + number) end
%(headers)s
request = function() return wrk.format(%(method)s, %(path)s, nil, %(body)s) end
done = function(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format('RESULT {"requests":%%d,"microseconds":%%d,"refused":%%d,"broken":%%d,"p50":%%.3f,"p99":%%.3f}\\n',
    summary.requests, summary.duration, errors.status, errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
"""


@dataclass(frozen=True, slots=True)
class Request:
    """What the load sends: `path` and `body` are Lua expressions, evaluated for each request; the rest is plain text."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """One run's requests a second and latencies in milliseconds; `refused` counts answers of 400 and above."""

    rate: float
    p50: float
    p99: float
    refused: int
    broken: int
    seconds: float


def require_wrk() -> None:
    """Ends the program with one line where there is no wrk."""
    if shutil.which("wrk") is None:
        raise SystemExit("bench: wrk is missing: apt-get install wrk")


def run(address: str, request: Request, seconds: float, *, connections: int = 32) -> Sample:
    """Loads the server for `seconds` over `connections` kept open."""
    script = SCRIPT % {
        "headers": "\n".join(f"wrk.headers[{lua(name)}] = {lua(value)}" for name, value in request.headers.items()),
        "body": request.body or "nil",
        "method": lua(request.method),
        "path": request.path,
    }
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "load.lua")
        file.write_text(script, encoding="utf-8")
        threads = min(2, connections)
        command = ["wrk", f"-t{threads}", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "30s", "-s", str(file)]
        answer = subprocess.run([*command, address], capture_output=True, text=True, check=True)
    line = next(line for line in answer.stdout.splitlines() if line.startswith("RESULT "))
    result = json.loads(line.removeprefix("RESULT "))
    elapsed = result["microseconds"] / 1e6
    answered = result["requests"] - result["refused"]
    return Sample(answered / elapsed, result["p50"], result["p99"], result["refused"], result["broken"], elapsed)


def lua(text: str) -> str:
    """The text, which is ASCII, as a Lua string."""
    return json.dumps(text)


UPDATE_TAG = Request(
    "POST",
    f'"/api/dms/objects/o" .. math.random(1, {OBJECTS}) .. "/tags/tag1/state/" .. math.random(1, 9999) .. "?overwrite=true"',
)
READ_TAG = Request("GET", f'"/api/dms/objects/o" .. math.random(1, {OBJECTS}) .. "/tags/tag1"')
UPDATE_BARE = Request("POST", f'"/objects/o" .. math.random(1, {OBJECTS}) .. "/tags/tag1/state/" .. math.random(1, 9999)')
READ_BARE = Request("GET", f'"/objects/o" .. math.random(1, {OBJECTS}) .. "/tags/tag1"')
EVE_ITEM = f'"/items/" .. string.format("%024x", math.random(1, {OBJECTS}))'
READ_EVE = Request("GET", EVE_ITEM)
UPDATE_EVE = Request(
    "PATCH",
    EVE_ITEM,
    {"Content-Type": "application/json"},
    """'{"state":' .. math.random(1, 9999) .. ',"traceid":"4bf92f3577b34da6"}'""",
)
