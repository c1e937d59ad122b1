"""Bugs of Kopia that are known, each provoked on the real program: they show whether a judge of ours would see them."""
