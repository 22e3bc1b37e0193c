"""WeCom is asked: everything that goes over HTTP to the platform, and what the platform sends to us.

    errcodes.py         every code and its action (schemas/wecom-errcodes.yaml)
    limits.py           calls a minute, per call
    token.py            access tokens, one a secret
    client.py           one call: token, pace, documented errcodes, what remains as three kinds of error
    answers.py          fields of an answer, read without trust
    calls.py            consent, seats, internal groups, robots (archive secret)
    contacts.py         members, departments, customers, customer groups, handovers (contacts secret)
    statistics.py       behaviour counts, mass messages (contacts secret)
    callback_codec.py   signature, encryption, XML without entities
    callback_events.py  which event means what
    callback_store.py   events wait here, encrypted, seen once
    callback_server.py  GET check and POST events
    cycle_steps.py      the steps of `run`
"""
