"""Finding people: the firm's own numbers linked to external ids, and the person behind a name, a number or the tail of a phone.

    links.py     lines of an import file, checked
    find.py      who is meant
"""
