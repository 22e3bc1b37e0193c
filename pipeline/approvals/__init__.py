"""A second person's approval: asked for, given or refused, used once for exactly what was asked.

    request.py    what is asked, what is said to it, and whether that suffices: plain values
    store.py      those values in the home, sealed, write-once; `two_persons`, which whatever needs a second person calls
"""
