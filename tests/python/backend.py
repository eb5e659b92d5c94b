"""An app's backend on the official server SDK for Python: calls what the orders on stdin say.

  backend.py --host 127.0.0.1 --port 6001 --app-id 1001 --key app-key --secret app-secret

Orders: {"call":"trigger","args":["room","greeting",{"a":1}]}   any method of the SDK
Lines:  {"type":"answer","body"} {"type":"answer","error","message"}
Ends when stdin does.
"""

import argparse
import base64
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
    return parser.parse_args()


def say(**line):
    # Bytes: the library gives base64 as such.
    print(json.dumps(line, default=bytes.decode), flush=True)


def main():
    options = arguments()
    # The key that backend.mjs has.
    master_key = base64.b64encode((b"master" * 6)[:32]).decode()
    client = pusher.Pusher(
        app_id=options.app_id,
        key=options.key,
        secret=options.secret,
        host=options.host,
        port=options.port,
        ssl=False,
        encryption_master_key_base64=master_key,
    )
    for line in sys.stdin:
        order = json.loads(line)
        try:
            say(type="answer", body=getattr(client, order["call"])(*order["args"]))
        except Exception as error:  # every failure is the test's to judge
            say(type="answer", error=type(error).__name__, message=str(error))


if __name__ == "__main__":
    main()
