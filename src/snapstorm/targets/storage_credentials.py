"""What programs under test must know to reach storage on S3."""

from __future__ import annotations

from collections.abc import Mapping

from snapstorm.model.location import S3Storage
from snapstorm.model.protocols import TargetPlace
from snapstorm.runtime.aws import read_credentials


def storage_credentials(place: TargetPlace) -> Mapping[str, str]:
    """The credentials for the storage of this place, as variables of the environment: those that the place gives, or
    the user's own. None are needed for a directory. Raises HarnessError, one line, where there are none."""
    if place.storage_secrets is not None:
        return place.storage_secrets
    return read_credentials() if isinstance(place.storage, S3Storage) else {}
