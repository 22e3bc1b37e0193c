"""A process that has the libraries loaded and forks for each command it is asked for: `python -m tests.cli.prepared`.

Before: nothing. After: liuhen.py, which asks it (one line of JSON on stdin) and reads the exit code (one line on stdout).
Every command still runs in a process of its own, with its own arguments, environment, folder and output files; what it saves is
the start of Python and the imports, two to four seconds of CPU a command. `pipeline.cli` itself is not loaded ahead: it looks at
its arguments and its environment while it is imported. Nothing here starts a thread, so that a fork is safe.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import traceback
from typing import Any

PROGRAM = "liuhen"


def load() -> None:
    """Import what commands import, but nothing that depends on how they are called."""
    import apache_beam  # noqa: F401
    import rich.progress  # noqa: F401
    import typer

    import pipeline.audit
    import pipeline.compact
    import pipeline.demo.generate
    import pipeline.flow
    import pipeline.ingest
    import pipeline.reader
    import pipeline.show
    import pipeline.verify  # noqa: F401
    from pipeline import workbench
    from pipeline.match import lexicon

    workbench.compiled_packs(tuple(lexicon.shipped_packs()))  # kept by the digest of what they are
    small = typer.Typer()
    small.command()(_small)
    small(args=["--number", "1"], standalone_mode=False)  # typer loads the half of itself when the first command is called
    gc.freeze()  # or the first collection of every child would copy all of this


def _small(number: int = 0) -> None:
    """Do nothing."""


def serve() -> None:
    """Run the asked commands one after the other."""
    for line in sys.stdin:
        asked = json.loads(line)
        child = os.fork()
        if not child:
            become(asked)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def become(asked: dict[str, Any]) -> None:
    """Be the command, and end with its exit code as the interpreter would."""
    for descriptor, name, flags in ((0, os.devnull, os.O_RDONLY), (1, asked["out"], os.O_WRONLY), (2, asked["err"], os.O_WRONLY)):
        os.dup2(os.open(name, flags), descriptor)
    os.environ.clear()
    os.environ.update(asked["environ"])
    os.chdir(asked["cwd"])
    sys.argv = [PROGRAM, *asked["words"]]
    code = 1
    try:
        from pipeline.cli import main

        main()
    except SystemExit as ending:
        code = ending.code if isinstance(ending.code, int) else int(ending.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    load()
    serve()
