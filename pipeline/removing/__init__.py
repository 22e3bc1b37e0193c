"""Removal for good, and the opening of what is restricted: both take two persons.

    subject.py      which records are a customer's, and which of them something keeps
    take_out.py     named records out of every store, their keys with them; repeatable after a crash
    erase.py        a customer's request: previewed, approved, done
    restricted.py   restricted records, opened inside a matter or removed
"""
