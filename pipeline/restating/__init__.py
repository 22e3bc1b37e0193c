"""What was settled before its people were known, worked out anew: who is an employee is a matter of the directory of that time, not of when it was read.

    whose.py       whose kind is another one now, and how far the archive was worked out (pure, and a note)
    rows.py        archived messages of these people, and what the gate says of them now
    findings.py    findings of those messages: by whom, and whether their rules are about them
    restate.py     all of it in order: hidden, brought back, decided again, rewritten; resumable
    cycle_steps.py the step `people` of `run`
"""
