"""Search: exact substrings over what a person could read, newest first.

    question.py     what is looked for, and where
    grams.py        the keys of a text: characters, neighbours, names
    boxes.py        what is kept of a data file, sealed under the data file's key
    index_file.py   which row groups of a data file hold a key
    index.py        indexes made, swept, purged
    narrow.py       the columns that messages are counted by, kept once more in one piece
    counted.py      the messages as DuckDB scans them: from there, and from their files
    datafile.py     a data file read row group by row group
    candidates.py   row groups that may hold a hit, newest first
    words.py        which texts of a row group are hits
    variants.py     other ways of writing the same words
    hits.py         the newest messages that hold the words
    places.py       where in a message they stand, and the words around them
    uninspected.py  what a search of this range could not look into
    rest.py         records that are not simply archived, kept beside their file
    doubled.py      findings that stand here several times
    cycle_steps.py  the step of `run` that makes indexes
"""
