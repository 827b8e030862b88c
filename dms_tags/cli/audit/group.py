"""`dms-tags audit query|export|follow|verify|keygen|checkpoint|seal|archive`: what auditors do, and those who keep the records.

The first four are HTTP clients of the service at `DMS_TAGS_URL`; `verify FILE` needs nothing but the file and a public key,
`verify --database` and the last four go to the store as the service does (API.md section 6).
"""

from __future__ import annotations

from typing import Final

from dms_tags.cli.shared import Lazy, json_option

COMMANDS: Final = {
    "query": ("dms_tags.cli.audit.client:query", "print what matches, newest first, one JSON document a line"),
    "export": ("dms_tags.cli.audit.client:export", "write everything that matches to a file, with its proof"),
    "follow": ("dms_tags.cli.audit.follow:follow", "print changes as they are recorded, for agents of security desks"),
    "verify": ("dms_tags.cli.audit.client:verify", "check that nothing was altered, left out or put in"),
    "keygen": ("dms_tags.cli.audit.store:keygen", "make the key that signs this database's checkpoints"),
    "checkpoint": ("dms_tags.cli.audit.store:checkpoint", "sign the trail as it stands, and print the checkpoint"),
    "seal": ("dms_tags.cli.audit.store:seal", "record how far each resource has come, so that one of them can be shown whole"),
    "archive": ("dms_tags.cli.audit.store:archive", "write the oldest entries to a file that proves them, then remove them"),
}

command = Lazy("audit", COMMANDS)
json_option(command)
