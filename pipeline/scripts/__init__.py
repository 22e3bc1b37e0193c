"""Texts the firm has approved: what members may send word for word, and the firm's own mass messages.

Before: ../home.py, ../match/fold.py. After: ../match/matching.py (which asks `ApprovedTexts`), `liuhen scripts`.

    texts.py      an approved text, and the files it is imported from
    store.py      the texts of a home, encrypted
    covering.py   whether a hit lies inside a text that was approved when it was sent
    mass.py       the firm's mass messages become such texts
"""
