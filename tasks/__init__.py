"""Tasks: one unit of work each, looked up in the archive before it is done."""
