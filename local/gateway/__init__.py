"""The functions of `functions/functions.toml` on one machine, woken as they are in the cloud.

One server takes their HTTP requests and invocations, watches their queues and keeps their
schedules; each function runs in processes of its own, which know what the table says and no more.
"""
