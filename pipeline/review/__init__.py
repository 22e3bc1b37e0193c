"""Findings as work: what waits for a decision, the decision, worklists out and back in, and samples of what no rule found.

    queue.py       what waits, oldest and gravest first
    decisions.py   what may be decided, and how it is kept
    worklist.py    a workbook out, and back in
    sample.py      messages without findings, drawn by lot that can be drawn again
"""
