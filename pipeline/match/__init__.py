"""Keywords: what is looked for, how texts are compared, and why a place counts.

Before: ../errors.py, ../records.py. After: ../flow.py, ../rescan/, `liuhen lexicon`.

    fold.py       text as terms are compared, with the way back
    negation.py   whether the words before take a term back
    packfile.py   one pack: YAML, or a term a line
    lexicon.py    the packs in force, proven by their own examples
    expressions.py  which regular expressions are possible in a text
    searching.py  at which levels something is hit in a text, and where
    arrays.py     many texts folded at once
    screen.py     which of many texts can have a hit at all
    harvest.py    what the hits of one message are worth
    matching.py   where a rule fires, and why
"""
