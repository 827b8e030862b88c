"""Exports of the trail: the lines, the rows, and the manifest that says what they are."""
