"""Databases that earlier versions made, and how they are made."""
