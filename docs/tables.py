"""Markdown made of Python: tables, docstrings, and the fields of what people write as YAML."""

from __future__ import annotations

import ast
import inspect
import json
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias, get_args

from pydantic import BaseModel

Lines: TypeAlias = Iterator[str]


def models(root: type[BaseModel], told: list[type[BaseModel]]) -> Lines:
    """A model's fields, then those of every model that its fields hold and that is not told yet."""
    known = len(told)
    for model in held(root, told)[known:]:
        yield f"### {model.__name__}\n\n{prose(model.__doc__)}\n"
        yield from fields(model, model.model_fields)


def held(model: type[BaseModel], found: list[type[BaseModel]]) -> Sequence[type[BaseModel]]:
    """What is found already, then the model and every model that its fields hold, each once."""
    if model not in found:
        found.append(model)
        for field in model.model_fields.values():
            for kind in _kinds(field.annotation):
                held(kind, found)
    return found


def _kinds(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _kinds(argument)


def fields(model: type[BaseModel], names: Iterable[str]) -> Lines:
    """A table of fields; what a comment above a field says is what the field means."""
    schema = model.model_json_schema(by_alias=True)
    schemas = {key: _plain(it, schema) for key, it in schema["properties"].items()}
    told = meanings(model)
    rows = []
    for name in names:
        field = model.model_fields[name]
        key = field.alias or name
        default = "*required*" if field.is_required() else _default(schemas[key])
        rows.append((f"`{key}`", _kind(schemas[key]), default, told.get(name, "")))
    if rows:
        yield from table(("Key", "Kind", "Default", "Meaning"), rows)


def meanings(model: type[BaseModel]) -> Mapping[str, str]:
    """What each field means: the comment above it, else what the model that it holds says."""
    told = {"schema_version": "The version of this file's format."}
    for name, field in model.model_fields.items():
        kinds = list(_kinds(field.annotation))
        if len(kinds) == 1:
            told[name] = first(kinds[0].__doc__)
    return told | {key: text for it in reversed(model.__mro__) for key, text in _comments(it)}


def _plain(field: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """A field's schema, with the values of an enumeration in the place of its name."""
    named = schema.get("$defs", {}).get(str(field.get("$ref", "")).rpartition("/")[2], {})
    return named if "enum" in named else field


def _default(schema: Mapping[str, Any]) -> str:
    default = schema.get("default")
    return "" if default in (None, [], {}) or "$ref" in schema else f"`{json.dumps(default)}`"


def _kind(schema: Mapping[str, Any]) -> str:
    """A JSON schema in words."""
    match schema:
        case {"$ref": ref}:
            name = str(ref).rpartition("/")[2]
            return "any JSON" if name == "JsonValue" else f"[{name}](#{name.lower()})"
        case {"allOf": [one]}:
            return _kind(one)
        case {"anyOf": several}:
            return " or ".join(dict.fromkeys(_kind(it) for it in several if it != {"type": "null"}))
        case {"enum": values}:
            return " or ".join(f"`{it}`" for it in values)
        case {"const": value}:
            return f"`{value}`"
        case {"prefixItems": items}:
            return f"{len(items)} of {_kind(items[0])}"
        case {"type": "array", "items": items}:
            return f"list of {_kind(items)}"
        case {"patternProperties": values}:
            return f"map to {_kind(next(iter(values.values())))}"
        case {"additionalProperties": dict(values)}:
            return f"map to {_kind(values)}"
    return str(schema.get("format", schema.get("type", "anything")))


def _comments(model: type) -> Iterator[tuple[str, str]]:
    """Each field of a class that has a comment above it or behind it, and the comment."""
    if not issubclass(model, BaseModel) or model.__module__.startswith("pydantic"):
        return
    lines = textwrap.dedent(inspect.getsource(model)).splitlines()
    (tree,) = ast.parse("\n".join(lines)).body
    for node in tree.body if isinstance(tree, ast.ClassDef) else ():
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            above: list[str] = []
            for line in reversed(lines[: node.lineno - 1]):
                if not line.strip().startswith("#"):
                    break
                above.insert(0, line.strip().removeprefix("#").strip())
            behind = lines[node.lineno - 1][node.end_col_offset :].partition("# ")[2]
            if above or behind:
                yield node.target.id, " ".join([*above, behind]).strip()


def first(doc: str | None) -> str:
    """The first paragraph of a docstring, in one line."""
    return " ".join(prose(doc).partition("\n\n")[0].split())


def prose(doc: str | None) -> str:
    return inspect.cleandoc(doc or "").replace("``", "`")


def words(items: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(items))


def fenced(text: str, language: str) -> Lines:
    yield f"```{language}\n{text.strip()}\n```\n"


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> Lines:
    yield f"| {' | '.join(header)} |"
    yield f"|{'---|' * len(header)}"
    for row in rows:
        yield f"| {' | '.join(str(it).replace('|', chr(92) + '|') for it in row)} |"
    yield ""
