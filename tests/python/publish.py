"""The official server SDK for Python: publishes, and reports each answer.

  publish.py --host 127.0.0.1 --port 6001 --channels a,b [--data TEXT | --json '{"a":1}']
             [--event greeting] [--socket-id 1.2] [--batch] [--channels-info]

Lines: {"type":"answer","body"} {"type":"error","name","message"}
Exit code 0: the server took it; 1: it did not.
"""

import argparse
import json
import sys

import pusher


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--app-id", default="1001", help="digits: this library takes no other")
    parser.add_argument("--key", default="app-key")
    parser.add_argument("--secret", default="app-secret")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=6001)
    parser.add_argument("--channels", default="room")
    parser.add_argument("--event", default="greeting")
    parser.add_argument("--data", default="hello")
    parser.add_argument("--json", type=json.loads)
    parser.add_argument("--socket-id")
    parser.add_argument("--batch", action="store_true")
    parser.add_argument("--channels-info", action="store_true", help="ask instead of publishing")
    return parser.parse_args()


def publish(options):
    client = pusher.Pusher(
        app_id=options.app_id,
        key=options.key,
        secret=options.secret,
        host=options.host,
        port=options.port,
        ssl=False,
    )
    channels = options.channels.split(",")
    data = options.data if options.json is None else options.json
    if options.channels_info:
        return client.channels_info()
    if options.batch:
        event = {"name": options.event, "data": data}
        return client.trigger_batch([{"channel": channel, **event} for channel in channels])
    target = channels[0] if len(channels) == 1 else channels
    return client.trigger(target, options.event, data, options.socket_id)


def main():
    options = arguments()
    try:
        print(json.dumps({"type": "answer", "body": publish(options)}))
    except Exception as error:  # every failure is the test's to judge
        print(json.dumps({"type": "error", "name": type(error).__name__, "message": str(error)}))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
