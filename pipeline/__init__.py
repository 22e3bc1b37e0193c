"""liuhen (留痕): the map, one line a module, in the order in which a record meets them. docs/architecture.md tells the story.

What everything stands on
    errors.py            one error tree, failure codes, exit codes
    records.py           the nouns: what a record is at each step
    clock.py             milliseconds since 1970 UTC, Beijing days
    resources.py         where schemas/, keywords/ and sql/ lie
    sentences.py         what errors say, in Chinese
    words.py             what people read, in Chinese and English
    schema.py            columns of every kind, from schemas/
    durable.py           write, fsync, link, rename, unlink, and what they promise
    hints.py             how far a step came; lost, it costs work and nothing else
    masters.py           master keys: a file, a token, a key service
    master_token.py      the token (PKCS#11)
    master_service.py    the key service (AWS KMS and its kin)
    keyring_file.py      the keyring's file and its witness
    keyring.py           keys by unit and generation under one master key; boxes, pseudonyms
    key_rotation.py      the keyring moves under another master key
    key_needs.py         which keys the archive needs
    keybackup.py         the keyring as an age file, and the way back
    custody.py           who did what: append-only, chained
    enterprise_keys.py   the enterprise's RSA private keys by version
    secret_refs.py       where a secret is, never the secret
    config.py            liuhen.toml, parsed and checked once
    config_told.py       a setting that does not fit: what was expected, what came
    home.py              the folder that holds all of it
    config_tried.py      a new value of a setting, tried on whoever is going to use it
    roles/               who may do what, and which rows a person sees
    approvals/           a second person's approval, bound to exactly what was asked

A record comes in
    outline.py           the structure of JSON text without recursion
    saved_files.py       files of saved answers → pages
    answers.py           one answer → its records, still sealed: what the landing counts and a worker reads again
    landing.py           pages wait here, write-once, until a commit has settled their records
    importing.py         opened messages of another archive → pages, encrypted at once

WeCom is asked
    wecom/               token, calls, limits, errcodes, callbacks
    people_history/      the directory as history: people, rooms, departments, handovers, seats

It is opened and read
    envelope.py          RSA and two AES layers; numbered checks
    multibuffer.py       RSA: eight private operations at once where the machine can, else OpenSSL
    sealing.py           the inverse, for the demo and tests
    hostile_json.py      JSON from outside → a value or one failure
    message_types.py     which field of which type a person reads
    message_quotes.py    words that repeat what somebody else said
    message_parts.py     text and files, however deeply nested
    message.py           who, to whom, when, what kind

The gate
    people_import.py     lines of a directory file
    directory.py         who was employee, robot or external at a time
    consent_events.py    what records and imports say about consent
    register.py          which decision is in force for a scope at a time
    consent.py           archived, pending or withheld, with the rule; the only maker of `Gated`

Keywords
    match/               folding, packs, rules: where a rule fires, and why; its own __init__.py lists the modules
    scripts/             texts the firm has approved, and its mass messages

It is staged
    pii.py               what identifies a person, masked with equal length
    pii_many.py          the few of many texts that hold such data
    digests.py           SHA-256 of short inputs, proven before it is used
    leaf.py              commitments
    scans.py             data files scanned, or read by row groups
    anchors.py           what each log entry was when it became durable
    deltalog.py          the log: which data files are committed
    lake.py              those files, encrypted: written, read, unlinked
    filekeys.py          by which key a file is encrypted, read from the file
    lakerows.py          rows ↔ register events, directory entries
    pseudonyms.py        keyed names of ids, made the quick way
    stagerows.py         the rows that records leave
    stage.py             rows → files, outline, manifest; still invisible
    workbench.py         the steps at hand in one process
    worker.py            a worker process of the runner inside the process
    flow.py              the diagram: the only Beam graph

It is settled
    settle.py            who was first: duplicates, conflicts, recalls
    newest_ids.py        a record that came again: its files are asked for by its newest id
    manifests.py         what waits to be committed
    commitrows.py        the rows a commit writes of its own
    commit.py            one commit makes it visible, exactly once
    stores.py            every place that holds content, and how to take records out
    left_over.py         what failed or waits, and who has acknowledged it
    holds.py             what a legal hold covers
    removing/            removal for good, and the opening of what is restricted
    retention/           how long what is kept, and what is due
    consenting/          late refusals, pending and withheld records, asking WeCom; its own __init__.py lists the modules
    restating/           what was settled before its people were known; its own __init__.py lists the modules
    looked.py            what a run has searched: the next line need not search it again
    rescan/              findings over several messages; the archive matched again under other packs
    ingest.py            one run: land, re-open, stage, commit, sum up
    alerts/              serious findings told at once, without their words

It is kept
    layout.py            which bucket a row belongs to, where row groups end
    rewriting.py         the rows of a file again, but for some
    compact.py           many small files → one a month and bucket
    trusted_clock.py     the clock that destruction by time goes by
    logcare.py           checkpoints of the log, and the end of old entries
    purges.py            files that commits took out, unlinked ten minutes later
    generations.py       new keys for hot files, and the end of old ones
    room.py              never more than 64 hot files of a kind, whoever commits (rooms of people: people_history/)
    turns.py             a commit that lost again and again goes before the others
    stamps.py            what a summary or cache was made from, and whether it still fits (time stamps: evidence/)
    verify.py            checks an archive by code of its own
    verify_log.py        check 1: the log
    verify_anchors.py    check 1: the log against its anchors
    verify_files.py      check 2: every file
    verify_media.py      check 2: every fetched file
    verify_strays.py     check 3: files that belong nowhere
    verify_keys.py       checks 4 and 5: keyring, custody log
    verify_rows.py       check 6: rows and commitments
    verify_parts.py      check 6: what one file of messages or sealed bytes says
    verify_digests.py    check 6: digests of whole columns
    verify_columns.py    check 6: many commitments at once
    verify_work.py       checks 2 and 6: on every core
    verify_leaf.py       check 6: the arithmetic
    verify_ledger.py     check 7: the counts
    verify_tree.py       check 8: signed checkpoints
    verify_stamps.py     check 8: their time stamps
    verify_report.py     findings and numbers

It is asked for
    audit.py             views and audits of sql/
    sqlguard.py          what a user's SQL may be
    sqlkinds.py          kinds of values that come as text
    earlier_packs.py     findings as they stood under earlier packs
    reader.py            a locked DuckDB over one version of the lake
    reveal.py            what is masked in one message, for a stated purpose
    status.py            how the archive stands
    watch/               what is alarming, what ends, a sign of life after each cycle
    names.py             who bore which name when
    beside.py            those names beside the ids of an answer
    segments.py          overlapping places → pieces
    transcript.py        a conversation in order, as lines
    ask_conversation.py  everything a conversation consists of
    thumbnails.py        fetched pictures made small
    conversation.py      those lines as text or page
    conversation_rows.py those lines as rows
    search/              exact text, newest first; indexes; its own __init__.py lists the modules
    persons/             who is meant; the firm's own numbers
    review/              findings as work
    extracts.py          words that leave as a file: what for, how many, which bytes
    evidence/            tree, checkpoints, bundles that a stranger can check; its own __init__.py lists the modules

It is shown
    cells.py             strangers' text made fit to look at
    columns.py           titled, typed columns and rows
    tables.py            a table on a terminal
    sheets.py            an Excel workbook
    show.py              every format, to terminal or file
    reports/             a month for the regulator, a page with charts

    source/              the source: pulled page by page, gaps told, media fetched, the cycle of all steps
    cli/                 the command line: root.py, one file a group of commands
    doctor/              is everything as it must be, before the first pull
    demo/                a made-up firm, and the truth about it
    simulate/            a WeCom double on loopback in front of that firm
    templates/           the conversation's page
"""

__version__ = "0.1.0"
