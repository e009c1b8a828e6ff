"""The API reference at /docs, drawn from the OpenAPI document by ourselves: it must work without any other server.

In: the OpenAPI document. Out: its operations in groups, as the template shows them.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field


class _Document(BaseModel):
    model_config = ConfigDict(extra="ignore")


class _Schema(_Document):
    type: str | None = None
    any_of: list["_Schema"] = Field([], alias="anyOf")
    items: "_Schema | None" = None
    ref: str | None = Field(None, alias="$ref")
    enum: list[str] = []
    format: str | None = None
    description: str | None = None
    default: object = None
    minimum: float | None = None
    maximum: float | None = None
    examples: list[object] = []
    properties: dict[str, "_Schema"] = {}


class _Parameter(_Document):
    name: str
    place: str = Field(alias="in")
    required: bool = False
    description: str | None = None
    schema_: _Schema = Field(alias="schema")


class _Media(_Document):
    schema_: _Schema = Field(_Schema(), alias="schema")


class _Answer(_Document):
    description: str = ""
    content: dict[str, _Media] = {}


class _Operation(_Document):
    tags: list[str] = ["other"]
    summary: str = ""
    description: str = ""
    parameters: list[_Parameter] = []
    responses: dict[str, _Answer] = {}


class _OpenApi(_Document):
    class Components(_Document):
        schemas: dict[str, _Schema] = {}

    paths: dict[str, dict[str, _Operation]]
    components: Components = Components()


@dataclass(frozen=True)
class ShownField:
    name: str
    kind: str
    about: str
    example: str
    is_required: bool = False


@dataclass(frozen=True)
class ShownAnswer:
    status: str
    about: str
    model: str
    fields: tuple[ShownField, ...]


@dataclass(frozen=True)
class ShownOperation:
    anchor: str
    method: str
    path: str
    summary: str
    description: str
    parameters: tuple[ShownField, ...]
    answers: tuple[ShownAnswer, ...]

    @property
    def can_try(self) -> bool:
        return self.method == "GET" and "{" not in self.path


def operations(document: Mapping[str, object]) -> dict[str, list[ShownOperation]]:
    """Every operation by its first tag, in the order of the document."""
    api = _OpenApi.model_validate(document)
    groups: dict[str, list[ShownOperation]] = {}
    for path, by_method in api.paths.items():
        for method, operation in by_method.items():
            groups.setdefault(operation.tags[0], []).append(_shown(path, method, operation, api))
    return groups


def _shown(path: str, method: str, operation: _Operation, api: _OpenApi) -> ShownOperation:
    return ShownOperation(
        anchor=f"{method}{path}".replace("/", "-").replace("{", "").replace("}", ""),
        method=method.upper(),
        path=path,
        summary=operation.summary,
        description=operation.description,
        parameters=tuple(
            _field(parameter.name, parameter.schema_, parameter.description, api, is_required=parameter.required)
            for parameter in operation.parameters
        ),
        answers=tuple(_answer(status, answer, api) for status, answer in operation.responses.items()),
    )


def _answer(status: str, answer: _Answer, api: _OpenApi) -> ShownAnswer:
    media = answer.content.get("application/json")
    schema = media.schema_ if media else _Schema()
    target = schema.items if schema.items is not None else schema
    model = _resolved(target, api)
    return ShownAnswer(
        status=status,
        about=answer.description,
        model=_kind(schema),
        fields=tuple(_field(name, field, field.description, api) for name, field in model.properties.items()),
    )


def _resolved(schema: _Schema, api: _OpenApi) -> _Schema:
    """What a reference stands for; nothing where there is none."""
    return api.components.schemas.get((schema.ref or "").rpartition("/")[2], _Schema())


def _field(name: str, schema: _Schema, about: str | None, api: _OpenApi, *, is_required: bool = False) -> ShownField:
    limits = [
        f"{word} {value:g}" for word, value in (("from", schema.minimum), ("to", schema.maximum)) if value is not None
    ]
    standard = f"; {json.dumps(schema.default)} when left out" if schema.default is not None else ""
    examples = schema.examples or [example for option in schema.any_of for example in option.examples]
    return ShownField(
        name=name,
        kind=" ".join([_kind(schema), *limits]) + standard,
        about=(about or "") + _choices(schema, api),
        example="" if not examples else str(examples[0]),
        is_required=is_required,
    )


def _choices(schema: _Schema, api: _OpenApi) -> str:
    values = [value for option in (schema, *schema.any_of) for value in option.enum or _resolved(option, api).enum]
    return f" One of {', '.join(f'`{value}`' for value in values)}." if values else ""


def _kind(schema: _Schema) -> str:
    """A type as a reader of JSON calls it."""
    if schema.ref:
        return schema.ref.rpartition("/")[2].removesuffix("Out")
    if schema.any_of:
        return " or ".join(_kind(option) for option in schema.any_of)
    if schema.type == "array" and schema.items is not None:
        return f"list of {_kind(schema.items)}"
    return schema.format or schema.type or ""
