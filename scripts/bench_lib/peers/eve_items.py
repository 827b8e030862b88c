"""Eve 2.3 with its oplog on: PATCH and GET of one item, as its documentation sets it up.

`ENFORCE_IF_MATCH` is off, so that a PATCH needs no ETag, as the update it is compared with needs none; Eve still makes,
keeps and checks ETags.  The write concern is the one that every contender has.
"""

from __future__ import annotations

import os

from eve import Eve

app = Eve(
    settings={
        "MONGO_URI": os.environ["BENCH_MONGO_URI"],
        "MONGO_DBNAME": "bench_eve",
        "MONGO_WRITE_CONCERN": {"w": "majority"},
        "OPLOG": True,
        "ENFORCE_IF_MATCH": False,
        "RENDERERS": ["eve.render.JSONRenderer"],
        "RESOURCE_METHODS": ["GET", "POST"],
        "ITEM_METHODS": ["GET", "PATCH"],
        "DOMAIN": {
            "items": {
                "schema": {
                    "_id": {"type": "objectid"},
                    "name": {"type": "string", "required": True},
                    "state": {"type": "integer"},
                    "traceid": {"type": "string"},
                }
            }
        },
    }
)
