"""Objects as DMS clients treat them: several tags of one object, or of many, set in one change (API.md section 8)."""
