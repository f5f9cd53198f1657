import os

import drain


def post_worker_init(worker):
    host, _, port = os.environ.get("STATUS", "127.0.0.1:8089").rpartition(":")
    drain.listen(host=host, port=int(port))
