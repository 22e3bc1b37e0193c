"""Alerts: serious findings are told at once, without their words.

Before: ../reader.py, ../wecom/client.py. After: ../source/cycle.py (a step of `run`), `liuhen alerts`.

    alert.py      one alert, a batch of them, and what a person reads
    queue.py      batches that wait, and which findings were told: encrypted, on disk before anything is sent
    gather.py     findings of committed rows that nobody was told of → a batch
    channels.py   a webhook; WeCom's application message
    step.py       gather, then send what waits
"""
