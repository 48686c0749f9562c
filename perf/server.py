"""An S3 server that serves until its standard input ends; says where it is in one line of JSON."""

from __future__ import annotations

import json
import sys

from tests.support.seaweed import Seaweed


def main() -> None:
    """Serve."""
    with Seaweed() as server:
        found = {
            "url": f"{server.endpoint}/{server.bucket}",
            "access_key": server.access_key,
            "secret_key": server.secret_key,
        }
        print(json.dumps(found), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
