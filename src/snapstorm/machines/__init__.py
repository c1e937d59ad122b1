"""Typed calls between the process of `snapstorm run`, the coordinator, and other machines.

The coordinator has a `Hub`; each machine runs a `Host`, whose services the hub calls. This package knows nothing of
backups. Its transport, the library `distributed`, is optional and is imported only by `scheduler_side` and
`worker_side`.
"""
