"""What `dms-tags serve` says once it listens: where, who may call, and a call to try."""

from __future__ import annotations

from dms_tags.settings import Settings


def welcome(settings: Settings, address: str) -> str:
    """The lines for the terminal; the first one has the service's URL, and nothing follows it there."""
    url = f"http://{address}"
    try_out = f"{url}/api/dms/objects/8f2c/tags/ocr/state/1"
    if settings.authentication == "none":
        who = "without authentication: whoever reaches it may do everything (DMS_TAGS_AUTH=tokens asks for tokens)"
        credentials = ""
    else:
        who = "callers need a token (dms-tags token create makes one)"
        credentials = '-H "Authorization: Bearer $TOKEN" '
        if settings.authentication == "jwt":
            who = "callers need a JWT of the issuer, or a token (dms-tags token create makes one)"
    return f"dms-tags listens on {url}\n  {who}\n  try: curl -X POST {credentials}{try_out}\n  documentation: {url}/docs\n"
