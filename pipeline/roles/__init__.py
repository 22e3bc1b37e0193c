"""Who may do what, and which rows a person sees: decided here once, for every command and every reader.

    table.py      roles, capabilities and what every command needs, from schemas/roles.yaml
    actors.py     actors.toml: which account or token is which person, with which roles, for which departments
    acting.py     who acts in this call, and `require`: the one place that says no
    rowscope.py   which messages a person sees: by department at message time, never himself or his line manager
    scoped.py     that scope as a filter on the data itself, under every view
    used.py       who holds which role, what was used when
"""
