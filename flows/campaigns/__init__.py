"""Campaigns of a group: hosts searched on one archive, by hand or every night, within what a night may spend."""
