"""The committed classes are those that proto/*.proto describes."""

from pathlib import Path
from types import ModuleType

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from grpc_tools import protoc

from ss_pusher.proto import metrics_pb2, remote_write_v1_pb2, remote_write_v2_pb2

SOURCES = Path(__file__).parent.parent / "proto"


@pytest.mark.parametrize("module", [metrics_pb2, remote_write_v1_pb2, remote_write_v2_pb2])
def test_a_generated_module_is_current(module: ModuleType, tmp_path: Path) -> None:
    committed = FileDescriptorProto.FromString(module.DESCRIPTOR.serialized_pb)
    output = tmp_path / "compiled"
    arguments = ["protoc", f"--proto_path={SOURCES}", f"--descriptor_set_out={output}", committed.name]
    assert protoc.main(arguments) == 0  # type: ignore[no-untyped-call] # it ships no types
    (compiled,) = FileDescriptorSet.FromString(output.read_bytes()).file
    for message in compiled.message_type:
        for field in message.field:
            field.ClearField("json_name")  # only protoc writes it
    assert committed == compiled


def test_every_proto_file_has_a_generated_module() -> None:
    generated = {path.name for path in (SOURCES.parent / "ss_pusher" / "proto").glob("*_pb2.py")}
    assert generated == {f"{path.stem}_pb2.py" for path in SOURCES.glob("*.proto")}
