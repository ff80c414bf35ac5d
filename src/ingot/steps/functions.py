"""A user's function as data: the slice of source it needs, its identity, and how a bare interpreter runs it.

`capture` follows the names that a module-level function uses, transitively, through its module (imports, functions,
classes, assignments) and through the modules of the user's project that it imports. That slice, unparsed from its
syntax tree, is an asset of the lake, so a task needs nothing but the lake, and its sha256 is the function's identity:
comments, formatting and docstrings do not count, everything that can change the result does (another minor version of
Python may unparse differently; then the step runs again). Closures, lambdas and nested functions are refused, because
what they capture is not in their source; libraries from site-packages are not followed: pin them.
"""

from __future__ import annotations

import ast
import builtins
import importlib.abc
import importlib.machinery
import json
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar

from ingot.errors import ConfigError

Function = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Captured:
    """name: "module:function"; source: JSON {"entry", "name", "modules": {module: source}}; digest: its sha256."""

    name: str
    digest: str
    source: bytes


def capture(function: Function | str, base: Path) -> Captured:
    """Capture a function object, or "module:function" found below `base`."""
    module, name, path = _locate(function, base)
    tree = _parse(path)
    entry = _slice(tree, name, f"{module}:{name}")
    modules = {key: _normal(ast.parse(text)) for key, text in sorted(_project_modules(entry, base).items())}
    body = {"entry": _normal(entry), "name": name, "modules": modules}
    source = json.dumps(body, sort_keys=True, ensure_ascii=False).encode()
    return Captured(f"{module}:{name}", sha256(source).hexdigest(), source)


def restore(source: bytes) -> Function:
    """The function of a captured source, in any process; its project modules are importable for it."""
    body = json.loads(source)
    if body["modules"]:
        _Finder.install(body["modules"])
    space: dict[str, Any] = {"__name__": f"ingot_user_{sha256(source).hexdigest()[:12]}"}
    exec(compile(body["entry"], "<captured step>", "exec"), space)  # noqa: S102 - the user's own function
    found: Function = space[body["name"]]
    return found


def _locate(function: Function | str, base: Path) -> tuple[str, str, Path]:
    if isinstance(function, str):
        module, _, name = function.partition(":")
        path = base / (module.replace(".", "/") + ".py")
        if not name or not path.is_file():
            raise ConfigError("E108", f"no function {function!r}: {path.name} is not beside the pipeline",
                              next="write it as module:function, with module.py beside ingot.yaml")  # fmt: skip
        return module, name, path
    name, qualname = getattr(function, "__name__", "?"), getattr(function, "__qualname__", "?")
    if (
        getattr(function, "__closure__", None)
        or "<" in qualname
        or "." in qualname
        or isinstance(function, types.MethodType)
    ):
        raise ConfigError(
            "E108",
            f"{qualname!r} is a closure, lambda or method: what it captures is not in its source",
            next="define it with def at the top level of a module; pass values as its config",
        )
    file = getattr(sys.modules.get(function.__module__), "__file__", None)
    if file is None:
        raise ConfigError("E108", f"{qualname!r} has no source file", next="put it into a .py file")
    return Path(file).stem if function.__module__ == "__main__" else function.__module__, name, Path(file)


def _parse(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_text(encoding="utf-8"), filename=path.name)
    except (SyntaxError, UnicodeDecodeError) as error:
        raise ConfigError("E108", f"{path.name} is not valid Python: {error}", where=path.name) from None


def _slice(tree: ast.Module, name: str, shown: str) -> ast.Module:
    """The top-level statements that bind `name` and everything it uses, in their order."""
    binds: dict[str, list[int]] = {}
    for i, statement in enumerate(tree.body):
        for bound in _bound(statement):
            binds.setdefault(bound, []).append(i)
    if name not in binds:
        raise ConfigError("E108", f"no function {shown!r}: its module defines no {name!r}",
                          next=f"it defines: {', '.join(sorted(binds)) or 'nothing'}")  # fmt: skip
    wanted, queue = {i for i, s in enumerate(tree.body) if _is_future(s)}, [name]
    seen = set(queue)
    while queue:
        for i in binds.get(queue.pop(), ()):
            wanted.add(i)
            for used in _used(tree.body[i]) - seen:
                seen.add(used)
                queue.append(used)
    body = [_undecorated(tree.body[i], name) for i in sorted(wanted)]
    missing = seen - binds.keys() - set(dir(builtins)) - _local_names(body)
    if missing:
        raise ConfigError("E108", f"{shown!r} uses {min(missing)!r}, which its module does not define",
                          next="import or define it at the top level of the module")  # fmt: skip
    return ast.Module(body=body, type_ignores=[])


def _bound(statement: ast.stmt) -> Iterator[str]:
    """Names that a top-level statement binds."""
    if isinstance(statement, (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef)):
        yield statement.name
    elif isinstance(statement, (ast.Import, ast.ImportFrom)):
        for alias in statement.names:
            yield alias.asname or alias.name.partition(".")[0]
    elif isinstance(statement, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield node.id
    elif isinstance(statement, (ast.If, ast.Try)):
        for child in ast.iter_child_nodes(statement):
            if isinstance(child, ast.stmt):
                yield from _bound(child)


def _used(node: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}


def _local_names(body: list[ast.stmt]) -> set[str]:
    """Names bound anywhere inside the slice: arguments, locals, comprehension variables, exception names."""
    names: set[str] = set()
    for statement in body:
        for node in ast.walk(statement):
            if isinstance(node, ast.arg):
                names.add(node.arg)
            elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
                names.add(node.id)
            elif isinstance(node, ast.ExceptHandler) and node.name:
                names.add(node.name)
            elif isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)):
                names.update(_bound(node))
            elif isinstance(node, (ast.MatchAs, ast.MatchStar)) and node.name:
                names.add(node.name)
    return names


def _is_future(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.ImportFrom) and statement.module == "__future__"


def _undecorated(statement: ast.stmt, name: str) -> ast.stmt:
    """The entry function without `@ingot.step`, which only marks it."""
    if isinstance(statement, ast.FunctionDef) and statement.name == name:
        marks = [d for d in statement.decorator_list if "step" not in ast.unparse(d).partition("(")[0].split(".")]
        return ast.FunctionDef(**{**{f: getattr(statement, f) for f in statement._fields}, "decorator_list": marks},
                               lineno=statement.lineno, col_offset=statement.col_offset)  # fmt: skip
    return statement


def _project_modules(tree: ast.Module, base: Path) -> dict[str, str]:
    """Sources of the project's own modules that the slice imports, transitively."""
    found: dict[str, str] = {}
    queue: list[ast.AST] = [tree]
    while queue:
        for node in ast.walk(queue.pop()):
            for module in _imported(node):
                path = base / (module.replace(".", "/") + ".py")
                package = base / module.replace(".", "/") / "__init__.py"
                path = path if path.is_file() else package
                if module not in found and path.is_file():
                    found[module] = path.read_text(encoding="utf-8")
                    queue.append(_parse(path))
    return found


def _imported(node: ast.AST) -> list[str]:
    """Modules that an import statement may load, parents included."""
    names: list[str] = []
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom) and node.module:
        names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return sorted({".".join(n.split(".")[: i + 1]) for n in names for i in range(n.count(".") + 1)})


def _normal(tree: ast.Module) -> str:
    """Source without comments, formatting and docstrings."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(node, (ast.Module, ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef)) and body:
            first = body[0]
            if isinstance(first, ast.Expr) and isinstance(getattr(first.value, "value", None), str):
                node.body = body[1:] or [ast.Pass()]
    return ast.unparse(tree)


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Serve captured project modules by name; one per process, last in line, so installed packages come first."""

    sources: ClassVar[dict[str, str]] = {}

    @classmethod
    def install(cls, modules: dict[str, str]) -> None:
        stale = [name for name, text in modules.items() if cls.sources.get(name, text) != text]
        for name in stale:
            sys.modules.pop(name, None)
        cls.sources.update(modules)
        if not any(isinstance(finder, cls) for finder in sys.meta_path):
            sys.meta_path.insert(0, cls())

    def find_spec(self, name: str, path: object = None, target: object = None) -> importlib.machinery.ModuleSpec | None:
        del path, target
        if name not in self.sources:
            return None
        package = any(other.startswith(f"{name}.") for other in self.sources)
        return importlib.machinery.ModuleSpec(name, self, is_package=package)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType | None:
        del spec
        return None

    def exec_module(self, module: types.ModuleType) -> None:
        code = compile(self.sources[module.__name__], f"<captured {module.__name__}>", "exec")
        exec(code, module.__dict__)  # noqa: S102 - the user's own module


def step(function: Function) -> Function:
    """Mark a module-level function as a step for readers; any such function may stand in a list of steps."""
    return function
