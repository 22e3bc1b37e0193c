"""Evidence: what a stranger can check without trusting the firm or us.

    tree.py         a Merkle tree over the leaves, RFC 6962; proofs
    note.py         signed notes (C2SP), Ed25519
    checkpoint.py   what the tree was at a time, signed and kept
    matter.py       matters that exports belong to
    scope.py        which conversations a bundle holds
    records.py      what is told of each record, with its openings
    completeness.py what is in it, what is not, and why
    bundle.py       the parts → a BagIt in a zip, the same bytes every time
    check.py        `verify CASE.zip`
    bundled/        what travels in every bundle: verify.py (standard library alone), the reader's page
"""
