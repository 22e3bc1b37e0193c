"""Evidence: what a stranger can check without trusting the firm or us.

    tree.py         a Merkle tree over the leaves, RFC 6962; proofs
    note.py         signed notes (C2SP), Ed25519
    signer.py       who signs: a key of the keyring, or a token's
    statement.py    what a checkpoint's text says
    leaves.py       the tree from the lake, and what is kept of it
    custody_tree.py the custody log's own tree
    checkpoint.py   what the tree was at a time, signed and kept
    epochs.py       after a restore the log goes on under a new number
    stamp_check.py  what a time stamp proves (RFC 3161)
    stamps.py       stamps asked for, kept, waiting
    proving.py      paths from records to a checkpoint
    trail.py        checkpoints, stamps and custody log in a bundle
    matter.py       matters that exports belong to
    scope.py        which conversations a bundle holds
    gate.py         where a bundle goes: abroad only with an approval
    spool.py        what is gathered, sealed on disk while a bundle is written
    records.py      what is told of each record, with its openings
    identity.py     who the accounts were, inside the firm and as customers saw them
    flat.py         the same as a table for spreadsheets
    decryption.py   what shows that sealed bytes open to these words
    completeness.py what is in it, what is not, and why
    gathered.py     what goes into a bundle, gathered
    report.py       page 1: what is in it, what is not, what it does not prove
    views.py        the pages of each conversation, in parts
    sorting.py      lines in order, on disk
    stored_zip.py   the zip, without an object for each file
    bundle.py       the parts → a BagIt in a zip, the same bytes every time
    check.py        `verify CASE.zip`
    fault_words.py  what does not hold, in Chinese
    packed.py       a zip's files, without an object for each
    check_shapes.py names and kinds of a bundle's JSON
    check_files.py  a bundle's files, one at a time
    check_parts.py  checks of decryption, masks, the table
    check_shown.py  what pages must show of records
    page_reading.py a page, element by element
    page_about.py   what a page says of itself
    check_pages.py  pages against records
    check_trail.py  checks of checkpoints, epochs, custody log, stamps
    cycle_steps.py  the steps of `run`
    pdf/            report and conversations as PDF/A
    redaction/      the redacted set, and the search for what it masks
    bundled/        what travels in every bundle: verify.py (standard library alone), the reader's page
"""
