"""What the program's errors say: the templates of all sentences at the places where errors are made, read from the source.

A sentence may stand in the call itself, in a name set before (in the function or the module, a dictionary's values too), or come through a
function that makes the error of its own parameters: then its callers' arguments are read. Whatever else stands there is named as it is written.
"""

from __future__ import annotations

import ast
import re
from collections import deque
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
BASES = frozenset({"ArchiveError"})
TELLERS = frozenset({"Told"})  # how a step of `run` ended: `skipped` says why it had nothing to do
# Values that a program puts into a sentence as words of its own: `what` of durable.storage, `why` of a refused line.
WORD_ARGUMENTS = {"storage": 0, "storage_error": 1}


class Site(NamedTuple):
    """One sentence where it is made. template: its text with `{}` for every value; None when it cannot be told from the source."""

    place: str
    template: str | None
    written: str


Function = ast.FunctionDef | ast.AsyncFunctionDef


def template(node: ast.expr) -> str | None:
    """Return the text of a string or f-string, `{}` for every value in it."""
    match node:
        case ast.Constant(value=str(text)):
            return re.sub(r"\{\w*\}", "{}", text)
        case ast.JoinedStr(values=parts):
            return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in parts)
        case ast.Call(func=ast.Attribute(value=ast.JoinedStr() as inner)):
            return template(inner)
    return None


def _name(function: ast.expr) -> str:
    return function.id if isinstance(function, ast.Name) else function.attr if isinstance(function, ast.Attribute) else ""


def kinds(nodes: Iterable[ast.AST]) -> set[str]:
    """Return the names of all classes of errors."""
    found: set[str] = set(BASES)
    classes = [node for node in nodes if isinstance(node, ast.ClassDef)]
    while True:
        more = {c.name for c in classes if any(_name(b) in found for b in c.bases)}
        if more <= found:
            return found
        found |= more


def _parameters(function: Function) -> list[str]:
    return [a.arg for a in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)]


class _Module:
    """One module: who sets which name, which functions make errors of their parameters."""

    def __init__(self, path: Path, found: list[tuple[ast.AST, Function | None]], errors: set[str]) -> None:
        self.path, self.errors = path, errors | TELLERS
        self.inside = {id(node): function for node, function in found}
        nodes = [node for node, _ in found]
        self.functions = [n for n in nodes if isinstance(n, Function)]
        self.calls = [n for n in nodes if isinstance(n, ast.Call)]
        self.sets = [n for n in nodes if isinstance(n, ast.Assign | ast.AnnAssign | ast.NamedExpr)]
        self.waiting: list[tuple[ast.Call, ast.expr, bool]] = []  # a call, an argument of it, whether that is a whole sentence
        self.followed: set[tuple[str, int]] = set()
        self.read: set[tuple[int, int]] = set()

    def sites(self) -> Iterator[Site]:
        """Yield every sentence of this module."""
        self.waiting = [(call, node, True) for call in self.calls if _name(call.func) in self.errors for node in self._sentences_of(call)]
        while self.waiting:
            call, node, whole = self.waiting.pop()
            yield from self._of(node, call, whole)

    def _sentences_of(self, call: ast.Call) -> Iterator[ast.expr]:
        yield from (a for a in call.args[1:] if not isinstance(a, ast.Starred) and _name(call.func) not in TELLERS)
        yield from (k.value for k in call.keywords if k.arg in ("message", "remedy", "detail", "skipped"))

    def _of(self, node: ast.expr, call: ast.Call, whole: bool) -> Iterator[Site]:
        if (id(node), id(call)) in self.read:
            return
        self.read.add((id(node), id(call)))
        place = f"{self.path.relative_to(ROOT)}:{node.lineno}"
        found = template(node)
        if found is not None:
            yield Site(place, found, found)
            yield from self._words_in(node, call)
            return
        resolved = list(self._resolved(node, call, whole))
        if whole and not resolved and not self._is_parameter(node, call):
            yield Site(place, None, ast.unparse(node))
        for value in resolved:
            yield from self._of(value, call, whole)
        for given in node.args if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ():
            yield from self._of(given, call, False)

    def _words_in(self, node: ast.expr, call: ast.Call) -> Iterator[Site]:
        """Yield sentences that stand inside another one: names of the function's own that are set to a text, and parameters."""
        for part in node.values if isinstance(node, ast.JoinedStr) else ():
            if isinstance(part, ast.FormattedValue) and isinstance(part.value, ast.Name | ast.IfExp):
                for value in self._resolved(part.value, call, False):
                    yield from self._of(value, call, False)

    def _is_parameter(self, node: ast.expr, call: ast.Call) -> bool:
        around = (self.inside.get(id(call)), self.inside.get(id(node)))
        return isinstance(node, ast.Name) and any(node.id in _parameters(function) for function in around if function is not None)

    def _resolved(self, node: ast.expr, call: ast.Call, whole: bool) -> Iterator[ast.expr]:
        """Yield what an expression stands for, as far as this module says."""
        function = self.inside.get(id(call))
        match node:
            case ast.IfExp(body=one, orelse=other):
                yield from (one, other)
            case ast.BoolOp(values=values):
                yield from values
            case ast.Call(func=ast.Name(id=name)):
                yield from self._returned(name)
            case ast.Call(func=ast.Attribute(value=ast.Name() as mapping, attr="get"), args=[_, default]):
                yield from (*self._assigned(mapping.id, None), default)
            case ast.Subscript(value=ast.Name(id=name)):
                yield from self._assigned(name, None)
            case ast.Call(func=ast.Attribute(value=ast.Name() as text, attr="format")):
                yield from self._resolved(text, call, whole)
            case ast.Name(id=name):
                own = list(self._assigned(name, function))
                yield from own or self._assigned(name, None)
                if not own and function is not None and name in _parameters(function):
                    self._follow(function, name, whole)

    def _follow(self, function: Function, name: str, whole: bool) -> None:
        """The sentence is a parameter: whoever calls the function gives it."""
        at = _parameters(function).index(name)
        if (function.name, at) in self.followed:
            return
        self.followed.add((function.name, at))
        shift = 1 if _parameters(function)[0] in ("self", "cls") else 0
        for call in self.calls:
            if _name(call.func) == function.name:
                given = call.args[at - shift : at - shift + 1] or [k.value for k in call.keywords if k.arg == name]
                self.waiting.extend((call, one, whole) for one in given)

    def _returned(self, name: str) -> Iterator[ast.expr]:
        for function in self.functions:
            if function.name == name:
                yield from (n.value for n in ast.walk(function) if isinstance(n, ast.Return) and n.value is not None)

    def _assigned(self, name: str, function: Function | None) -> Iterator[ast.expr]:
        for node in self.sets:
            if self.inside.get(id(node)) is not function:
                continue
            match node:
                case ast.Assign(targets=targets, value=value):
                    yield from self._bound(targets[0], value, name)
                case ast.AnnAssign(target=target, value=ast.expr() as value):
                    yield from self._bound(target, value, name)
                case ast.NamedExpr(target=target, value=value):
                    yield from self._bound(target, value, name)

    def _bound(self, target: ast.expr, value: ast.expr, name: str) -> Iterator[ast.expr]:
        if isinstance(target, ast.Tuple):
            for at, one in enumerate(target.elts):
                if isinstance(one, ast.Name) and one.id == name:
                    yield from self._picked(value, at)
        elif isinstance(target, ast.Name) and target.id == name:
            yield from value.values if isinstance(value, ast.Dict) else (value,)

    def _picked(self, value: ast.expr, at: int) -> Iterator[ast.expr]:
        """Yield the item `at` of a tuple, or of every tuple in a module's dictionary."""
        match value:
            case ast.Tuple(elts=items):
                yield items[at]
            case ast.Subscript(value=ast.Name(id=name)) | ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="get")):
                for one in self._assigned(name, None):
                    yield from self._picked(one, at)
                if isinstance(value, ast.Call) and len(value.args) > 1:
                    yield from self._picked(value.args[1], at)
            case ast.IfExp(body=one, orelse=other):
                yield from (*self._picked(one, at), *self._picked(other, at))


    def words_given(self) -> Iterator[Site]:
        """Yield what this module calls its own doings by, where another one makes the error."""
        for call in self.calls:
            at = WORD_ARGUMENTS.get(_name(call.func))
            found = template(call.args[at]) if at is not None and len(call.args) > at else None
            if found is not None:
                yield Site(f"{self.path.relative_to(ROOT)}:{call.lineno}", found, found)


@cache
def modules() -> dict[Path, list[tuple[ast.AST, Function | None]]]:
    """Return every module of the program: its nodes, each with the innermost function around it."""
    paths = [path for path in sorted((ROOT / "pipeline").rglob("*.py")) if "bundled" not in path.parts]
    return {path: list(_placed(ast.parse(path.read_text("utf-8")))) for path in paths}


def _placed(tree: ast.Module) -> Iterator[tuple[ast.AST, Function | None]]:
    waiting: deque[tuple[ast.AST, Function | None]] = deque([(tree, None)])
    while waiting:
        node, function = waiting.popleft()
        yield node, function
        inner = node if isinstance(node, Function) else function
        waiting.extend((child, inner) for child in ast.iter_child_nodes(node))


@cache
def sites() -> list[Site]:
    """Return every sentence of an error, by place."""
    errors = kinds(node for found in modules().values() for node, _ in found)
    told = [site for path, found in modules().items() for module in [_Module(path, found, errors)] for site in (*module.sites(), *module.words_given())]
    return sorted(set(told), key=lambda s: (s.place, s.written))
