import os

import drain

bind = "0.0.0.0:8080"
worker_tmp_dir = "/dev/shm"  # the heartbeat's file: a disk would make workers wait


def post_worker_init(worker):
    if os.environ.get("DRAIN") != "off":
        drain.listen()  # 127.0.0.1:8089
