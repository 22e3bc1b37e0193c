"""How long what is kept: profiles with their basis, what the firm set, what is due.

    profiles.py    the profiles of schemas/retention.yaml, and until when one keeps a record: plain values
    store.py       what the firm set and which events it told, sealed and append-only
    due.py         what is due, by customer
"""
