"""Bugs of borg that are known, and how each is provoked."""
