"""Keywords: what is looked for, how texts are compared, and why a place counts.

Before: ../errors.py, ../records.py. After: ../flow.py, ../rescan.py, `liuhen lexicon`.

    fold.py       text as terms are compared, with the way back
    negation.py   whether the words before take a term back
    packfile.py   one pack: YAML, or a term a line
    lexicon.py    the packs in force, proven by their own examples
    expressions.py  which regular expressions are possible in a text
    matching.py   where a rule fires, and why
"""
