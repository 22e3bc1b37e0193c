"""The stored archive matched: over several messages after each commit, and all of it again under other packs.

Before: ../match/, ../lake.py, ../reader.py. After: ../ingest.py (follow), `liuhen rescan`.

    begins.py     which conversations could show something over several messages
    stored.py     rows of messages → turns and findings → rows of matches
    follow.py     after a commit: what several messages show together
    months.py     a month again under the current packs: one commit, and a row of `scans`
    preview.py    what other packs would find: counts and samples, nothing written
"""
