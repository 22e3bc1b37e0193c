"""Search: exact substrings over what a person could read, newest first.

    question.py     what is looked for, and where
    hits.py         the newest messages that hold it, day by day
    places.py       where in a message it stands, and the words around it
    uninspected.py  what a search of this range could not look into
"""
