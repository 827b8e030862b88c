"""The DMS API as a whole: its prefix, the shape of its errors, and what every call of it takes."""

from __future__ import annotations

from dms_tags.api.endpoint import Api
from dms_tags.api.parameters import WAIT_FOR_SEARCH
from dms_tags.api.problems import MEDIA_TYPE, PROBLEM_SCHEMA, render_problem

api = Api("dms", "/api/dms", render_problem, PROBLEM_SCHEMA, MEDIA_TYPE, parameters=(WAIT_FOR_SEARCH,))
