"""Known bugs of restic, and how each is provoked."""
