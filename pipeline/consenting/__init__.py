"""What follows from consent after a record was settled: late refusals, pending and withheld records, asking WeCom, explaining.

Before: consent.py (the gate), register.py, commit.py. After: the commands `consent …` and `hold …`, the steps of `run`.

    precedence.py   what becomes of a record: the one table
    judging.py      whether a stored record is where its judgement puts it (pure)
    fates.py        rows of `records` for fates that follow an earlier one
    change.py       one planned commit, made anew when another one comes first
    candidates.py   which archived rows an event may concern
    hidden.py       out of every view at once: the filter, and the stamp that running readers look at
    hiding.py       archived → restricted, visible at once
    moving.py       restricted rows under keys of their own, and back
    resealing.py    pending and withheld records that are decided anew
    destroying.py   withheld bytes destroyed unopened, with their day's key
    reconcile.py    all of it in order: the command `consent reconcile`
    explain.py      one paragraph about one message
    asking.py       `consent sync`: which scopes are due, and what came
    ages.py         scopes that nobody asked about for long, or whose status nobody knows
    officers.py     decisions of officers about pending records
    standing.py     how the scopes of the register stand, now or as known at a time
    notices.py      evidence of notice, by digest
    cycle_steps.py  the steps of `run`
"""
