"""The statement language: which objects a claim or a search speaks of (API.md section 3).

    text ──parse──▶ Statement ──compile_statement──▶ Plan: a MongoDB filter, and the order to read it in

`parse` knows the grammar and its bounds, `compile_statement` what an index can serve; neither speaks to a database.
"""

from dms_tags.query.compiler import Plan, Scope, compile_statement
from dms_tags.query.moments import Clock
from dms_tags.query.parser import parse
from dms_tags.query.render import render
from dms_tags.query.statement import Statement

__all__ = ["Clock", "Plan", "Scope", "Statement", "compile_statement", "parse", "render"]
