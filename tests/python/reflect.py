"""A gRPC client that knows no .proto file: asks the server by reflection, as grpcurl does.

  reflect.py ADDRESS list
  reflect.py ADDRESS describe SERVICE
  reflect.py ADDRESS call SERVICE/METHOD JSON… [-H 'name: value'] [--max-answers N]

SERVICE is a full name (carillon.v1.AppService). A JSON text is one request message in proto3 JSON;
a streaming method takes several. As grpcurl's users write it, "update_mask": {"paths": ["a"]} is
understood as well as "updateMask": "a".

Lines: {"type":"service","name"} {"type":"method","name","input","output","client_streaming","server_streaming"}
       {"type":"answer","body"} {"type":"error","code","message","details":[…]}
Exit code 0: the call ended well; 1: it ended with a status.
"""

import argparse
import json
import sys

import grpc
from google.protobuf import descriptor_pool, json_format, message_factory
from google.rpc import error_details_pb2  # noqa: F401  (makes the details' types known)
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from grpc_status import rpc_status


def say(**line):
    print(json.dumps(line), flush=True)


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("verb", choices=["list", "describe", "call"])
    parser.add_argument("target", nargs="?")
    parser.add_argument("requests", nargs="*")
    parser.add_argument("-H", "--header", action="append", default=[])
    parser.add_argument("--max-answers", type=int, default=0, help="end a stream after so many")
    parser.add_argument("--deadline", type=float, default=10.0, help="seconds")
    return parser.parse_intermixed_args()


def paths_as_text(value):
    """grpcurl's spelling of a field mask, in canonical JSON."""
    if isinstance(value, dict):
        if set(value) == {"paths"}:
            return ",".join(camel_case(path) for path in value["paths"])
        return {name: paths_as_text(inner) for name, inner in value.items()}
    return [paths_as_text(inner) for inner in value] if isinstance(value, list) else value


def camel_case(path):
    head, *tail = path.split("_")
    return head + "".join(word.capitalize() for word in tail)


class Server:
    """One server, and what it says of itself."""

    def __init__(self, channel):
        self.channel = channel
        self.database = ProtoReflectionDescriptorDatabase(channel)
        self.pool = descriptor_pool.DescriptorPool(self.database)

    def services(self):
        return sorted(self.database.get_services())

    def methods(self, service):
        return self.pool.FindServiceByName(service).methods

    def call(self, target, requests, metadata, deadline):
        service, _, name = target.partition("/")
        method = self.pool.FindServiceByName(service).FindMethodByName(name)
        request_class = message_factory.GetMessageClass(method.input_type)
        answer_class = message_factory.GetMessageClass(method.output_type)
        messages = [self.from_json(text, request_class()) for text in requests or ["{}"]]
        shape = ("stream_" if method.client_streaming else "unary_") + (
            "stream" if method.server_streaming else "unary"
        )
        stub = getattr(self.channel, shape)(
            f"/{service}/{name}",
            request_serializer=request_class.SerializeToString,
            response_deserializer=answer_class.FromString,
        )
        given = iter(messages) if method.client_streaming else messages[0]
        answers = stub(given, metadata=metadata, timeout=deadline)
        return answers if method.server_streaming else [answers]

    def from_json(self, text, message):
        value = paths_as_text(json.loads(text))
        return json_format.ParseDict(value, message, descriptor_pool=self.pool)

    def as_json(self, message):
        return json_format.MessageToDict(
            message, preserving_proto_field_name=True, descriptor_pool=self.pool
        )


def details(error):
    """The google.rpc details of a status."""
    status = rpc_status.from_call(error)
    return [json_format.MessageToDict(detail) for detail in status.details] if status else []


def run(options):
    server = Server(grpc.insecure_channel(options.address))
    if options.verb == "list":
        for service in server.services():
            say(type="service", name=service)
    elif options.verb == "describe":
        for method in server.methods(options.target):
            say(
                type="method",
                name=method.name,
                input=method.input_type.full_name,
                output=method.output_type.full_name,
                client_streaming=method.client_streaming,
                server_streaming=method.server_streaming,
            )
    else:
        pairs = (header.partition(":") for header in options.header)
        metadata = [(name.strip().lower(), value.strip()) for name, _, value in pairs]
        answers = server.call(options.target, options.requests, metadata, options.deadline)
        for number, answer in enumerate(answers, start=1):
            say(type="answer", body=server.as_json(answer))
            if number == options.max_answers:
                answers.cancel()
                break


def main():
    options = arguments()
    try:
        run(options)
    except grpc.RpcError as error:
        say(type="error", code=error.code().name, message=error.details(), details=details(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
