"""Somebody watches: what is alarming now, what ends soon, and a sign of life after each cycle.

Before: ../status.py (what is the case). After: `status`, the step `heartbeat` of `run`.

    expiry.py      days on which the service, seats and certificates end
    alarms.py      what of the case is alarming
    heartbeat.py   told to a webhook or by application message after each cycle
"""
