"""The directory as history: who was who, in which department, room and hands, at which time. WeCom tells the present only; this remembers.

    facts.py      one row of history, and which rows follow from what was seen now (pure)
    kinds.py      rows of the lake ↔ facts
    members.py    members and departments
    rooms.py      rooms and who was in them
    customers.py  customers, who serves them, handovers
    counts.py     seats of a day, WeCom's own counts
    told.py       what callbacks said
    sync.py       all of it in order, resumable
    cycle_steps.py  the steps of `run`
"""
