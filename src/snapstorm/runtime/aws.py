"""Credentials for S3 from the places that every S3 tool uses: the environment, or the files in ~/.aws."""

from __future__ import annotations

import configparser
import os
from pathlib import Path

from snapstorm.errors import HarnessError

KEY_VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
"""The last one is optional."""


def read_credentials() -> dict[str, str]:
    """The credentials by the names of their environment variables. Raises HarnessError, one line, if there are none."""
    found = {name: os.environ[name] for name in KEY_VARIABLES if os.environ.get(name)} or _from_file()
    missing = [name for name in KEY_VARIABLES[:2] if name not in found]
    if missing:
        raise HarnessError(
            f"no credentials for S3: set {' and '.join(KEY_VARIABLES[:2])}, or write them to ~/.aws/credentials"
        )
    return found


def _from_file() -> dict[str, str]:
    path = Path(os.environ.get("AWS_SHARED_CREDENTIALS_FILE") or Path.home() / ".aws" / "credentials")
    profile = os.environ.get("AWS_PROFILE") or "default"
    parser = configparser.ConfigParser(interpolation=None)
    try:
        with path.open(encoding="utf-8") as file:
            parser.read_file(file)
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, configparser.Error) as error:
        reason = str(error).splitlines()[0] if not isinstance(error, configparser.Error) else "it is no INI file"
        raise HarnessError(f"the S3 credentials in {path} can't be read: {reason}") from None
    if not parser.has_section(profile):
        return {}
    return {name: value for name in KEY_VARIABLES if (value := parser.get(profile, name.lower(), fallback=""))}
