"""Compile proto/*.proto into ss_pusher/proto/; needs grpcio-tools, from the extra `dev`."""

import sys
from pathlib import Path

from grpc_tools import protoc

SOURCES = Path(__file__).parent
GENERATED = SOURCES.parent / "ss_pusher" / "proto"


def main() -> int:
    """Return the compiler's exit code; its words go to standard error."""
    sources = sorted(str(path) for path in SOURCES.glob("*.proto"))
    options = [f"--proto_path={SOURCES}", f"--python_out={GENERATED}", f"--pyi_out={GENERATED}"]
    return int(protoc.main(["protoc", *options, *sources]))  # type: ignore[no-untyped-call] # it ships no types


if __name__ == "__main__":
    sys.exit(main())
