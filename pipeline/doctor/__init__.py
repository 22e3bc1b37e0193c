"""Is everything as it must be, before the first pull? What, result, fix; nothing is changed, and nothing waits for long.

    findings.py  one finding, and how many make an exit code
    machine.py   disk, what the file system promises, permissions
    keys.py      master key, enterprise keys per version
    people.py    roles: what is enforced, and what the program alone keeps
    network.py   names, proxy, certificates, clock, secrets, address, licence
    library.py   the vendor's library; both openers on the operator's own records
    examine.py   all of it in order
"""
