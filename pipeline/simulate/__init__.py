"""`liuhen simulate`: a WeCom double on loopback, in front of a made-up corp. docs/simulate.md tells what it serves.

In the order in which it is built up and asked:

    timepiece.py    its own clock: advanced and skewed on demand
    corp.py         the made-up corp: people, departments, customers, rooms, consent, seats, handovers
    made.py         the demonstration's plan becomes that corp
    growth.py       new talk while it runs
    book.py         the truth, record by record, written before anything is sealed
    keys.py         the corp's RSA keys, rotated while it runs
    stream.py       sealed records in the order of seq: the window, pages
    vault.py        sealed files behind their ids, range by range
    tokens.py       secrets and the tokens given out for them
    faults.py       what goes wrong on demand
    exchange.py     a request and its answer, before and after HTTP
    chat.py         what the vendor library asks: chat data and media
    audits.py       what the archive's secret may ask: consent, seats, internal rooms, robots
    contacts.py     what an application may ask about members and departments
    customers.py    what an application may ask about customers and their rooms
    campaigns.py    handovers, mass messages, statistics
    events.py       the events that WeCom sends out, as XML
    callbacks.py    the official encryption scheme, and sending
    simulator.py    all of it together: what happens in the corp
    routes.py       paths to answers; tokens and faults in front of them
    admin.py        /_admin: faults and happenings on demand
    certificate.py  a self-made certificate for the platform's host name
    server.py       HTTP on loopback; a CONNECT proxy that ends TLS
    client.py       a plain client in the shape of the vendor library: a test means, never for WeCom
"""
