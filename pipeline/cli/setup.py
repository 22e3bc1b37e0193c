"""Commands that make and set up a home: init, config, keys, people.

Before: root.py. After: home.py.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from pipeline import clock, durable
from pipeline import config as settings
from pipeline.cli.output import Format, OutputFile, emit, format_option, output_option
from pipeline.cli.root import CALL, app, recorded, say, t
from pipeline.config import Corp
from pipeline.errors import ArchiveError, UsageError

config_app = typer.Typer(help=t("usage.config"), no_args_is_help=True)
keys_app = typer.Typer(help=t("usage.keys"), no_args_is_help=True)
people_app = typer.Typer(help=t("usage.people"), no_args_is_help=True)
app.add_typer(config_app, name="config")
app.add_typer(keys_app, name="keys")
app.add_typer(people_app, name="people")


@app.command(help=t("usage.init"))
def init(
    corp_id: Annotated[list[str], typer.Option("--corp-id", help=t("usage.init.corp_id"), metavar="ID")],
    corp_name: Annotated[list[str] | None, typer.Option("--corp-name", help=t("usage.init.corp_name"))] = None,
) -> None:
    """Make a home."""
    from pipeline.home import Home

    names = list(corp_name or [])
    corps = [Corp(id=i, name=names[n] if n < len(names) else "") for n, i in enumerate(corp_id)]
    Home.create(CALL.home_path, corps)
    with recorded("init", corps=corp_id):
        say(t("init.done", home=CALL.home_path))
        say(t("init.backup", file=CALL.home_path / "keys" / "master.key"))
        say(t("init.next"))


@config_app.command("get", help=t("usage.config.get"))
def config_get(key: Annotated[str | None, typer.Argument(help=t("usage.config.key"), metavar="KEY")] = None) -> None:
    """Show one setting, or all."""
    text = settings.read(CALL.home_path / "liuhen.toml")
    with recorded("config get", setting=key):
        if key is None:
            print(text, end="")
        else:
            value = settings.get(text, key)
            print(value if isinstance(value, str) else msgspec.json.encode(value).decode())


@config_app.command("set", help=t("usage.config.set"), context_settings={"ignore_unknown_options": True})  # -3 is a value
def config_set(
    key: Annotated[str, typer.Argument(help=t("usage.config.key"), metavar="KEY")], value: Annotated[str, typer.Argument(help=t("usage.config.value"), metavar="VALUE")]
) -> None:
    """Change one setting."""
    from pipeline import config_tried

    path = CALL.home_path / "liuhen.toml"
    refused, new = None, ""
    try:
        new = config_tried.changed(CALL.home, settings.read(path), key, value)
    except ArchiveError as error:
        refused = error
    with recorded("config set", setting=key, **({} if refused else {"value": value})):  # what is refused may be a secret in the wrong place
        if refused:
            raise refused
        durable.replace(path, new.encode())
        say(t("config.set.done", setting=key, value=value))


@keys_app.command("add", help=t("usage.keys.add"))
def keys_add(
    version: Annotated[int, typer.Option("--version", help=t("usage.keys.version"), min=1, max=2**31 - 1)],
    private_key: Annotated[Path, typer.Option("--private-key", help=t("usage.keys.private_key"), metavar="FILE")],
    passphrase_env: Annotated[str, typer.Option("--passphrase-env", help=t("usage.keys.passphrase_env"), metavar="VAR")] = "",
) -> None:
    """Store an enterprise private key."""
    corp = CALL.corp
    with recorded("keys add", corp=corp, version=version) as told:
        passphrase = None
        if passphrase_env:
            passphrase = os.environ.get(passphrase_env, "").encode()
            if not passphrase:
                raise UsageError("PASSPHRASE_MISSING", f"the environment variable {passphrase_env} is empty", remedy="set it to the passphrase")
        stored = CALL.home.add_key(corp, version, _read_key_file(private_key), passphrase)
        told["result"] = stored.fingerprint
        say(t("keys.add.done", version=version, fingerprint=stored.fingerprint))
        if stored.warning:
            say(stored.warning)
        say(t("keys.add.next"))


def _read_key_file(path: Path) -> bytes:
    try:
        if path.stat().st_size > 1 << 20:
            raise UsageError("KEY_NOT_PEM", "the key file is larger than 1 MiB: expected a PEM private key", remedy="check --private-key")
        return path.read_bytes()
    except FileNotFoundError:
        raise UsageError("INPUT_MISSING", f"there is no file {path}", remedy="check --private-key") from None
    except IsADirectoryError:
        raise UsageError("INPUT_MISSING", f"{path} is a folder, expected a PEM file", remedy="check --private-key") from None
    except OSError as error:
        raise durable.storage_error(error, "reading the private key") from error


@keys_app.command("list", help=t("usage.keys.list"))
def keys_list(format: Format = format_option, output: OutputFile = output_option) -> None:
    """List the stored keys."""
    from pipeline.left_over import waiting_by_key

    corp = CALL.corp
    with recorded("keys list", corp=corp):
        waiting = waiting_by_key(CALL.home, corp)
        stored = {k.version: k for k in CALL.home.enterprise_keys(corp)}
        rows = []
        for version in sorted(set(stored) | set(waiting)):
            key = stored.get(version)
            state = "missing" if key is None else "retired" if key.retired else "active"
            rows.append((version, state, key.fingerprint if key else None, clock.iso(key.added_ms) if key else None, waiting.get(version, 0)))
        emit(["version", "state", "fingerprint", "added_at", "records_waiting"], rows, format=format, output=output)


@keys_app.command("retire", help=t("usage.keys.retire"))
def keys_retire(version: Annotated[int, typer.Option("--version", help=t("usage.keys.version"), min=1)]) -> None:
    """Stop using a key version."""
    from pipeline.left_over import waiting_by_key

    corp = CALL.corp
    with recorded("keys retire", corp=corp, version=version):
        needed = waiting_by_key(CALL.home, corp).get(version, 0)
        if needed:
            raise UsageError(
                "KEY_STILL_NEEDED", f"{needed} sealed records still need version {version}", remedy="ingest them or decide about them before the key is retired"
            )
        CALL.home.retire_key(corp, version)
        say(t("keys.retire.done", version=version))


@people_app.command("import", help=t("usage.people.import"))
def people_import(file: Annotated[Path, typer.Argument(help=t("usage.people.file"), metavar="FILE")]) -> None:
    """Read the directory: who was employee or robot, when."""
    from pipeline import ingest, lakerows
    from pipeline.cli import directory
    from pipeline.people_import import read_people

    corp = CALL.corp
    with recorded("people import", corp=corp) as told:
        if not file.is_file():
            raise UsageError("INPUT_MISSING", f"there is no file {file}", remedy="give a JSON Lines file of people")
        data = file.read_bytes()
        entries = read_people(data.splitlines(), recorded_at_ms=clock.now_ms())
        if entries:
            ingest.append(CALL.home, corp, [("people", lakerows.people_table(entries))], what="people")
        told["result"] = f"{len(entries)} people from sha256 {hashlib.sha256(data).hexdigest()[:16]}"
        say(t("people.import.done", n=len(entries)))
        directory.work_out_anew(corp)
