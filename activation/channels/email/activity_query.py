"""The query language of SendGrid's Email Activity API, as far as our messages have something to be asked about.

In: a query such as `unique_args['send_id']="4f…" AND to_email LIKE "%@example.com"`. Out: an SQL condition and its
values. Fields are msg_id, from_email, to_email, subject, status, categories (with CONTAINS) and unique_args; operators
are =, !=, LIKE, AND, OR, and brackets.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from psycopg.sql import SQL, Composable, Composed, Placeholder
from psycopg.types.json import Jsonb

from activation.channels.email.captured_messages import stored_id

_MAX_LENGTH = 4_000
_MAX_DEPTH = 20
_TOKEN = re.compile(
    r"""\s*(?:(?P<text>"(?:[^"\\]|\\.)*")|(?P<key>\[\s*'(?:[^'\\]|\\.)*'\s*\])|(?P<word>[A-Za-z_]+)"""
    r"""|(?P<sign>!=|=|\(|\)|,))""",
    re.DOTALL,
)
_COLUMNS = {
    "msg_id": SQL("provider_message_id"),
    "from_email": SQL("from_email"),
    "to_email": SQL("to_email"),
    "subject": SQL("subject"),
    # whatever this endpoint accepts has arrived
    "status": SQL("'delivered'"),
}
_OPERATORS = {"=": SQL("="), "!=": SQL("<>"), "like": SQL("ilike")}


class QueryError(ValueError):
    """The query is not one that this endpoint understands; the message says where."""


@dataclass(frozen=True)
class ActivityQuery:
    condition: Composed
    values: dict[str, object]


def parse_query(text: str) -> ActivityQuery:
    """Read a query; an empty one finds everything.

    Raises:
        QueryError: unknown field or operator, or a bracket or quote too few.
    """
    if not text.strip():
        return ActivityQuery(SQL("{}").format(SQL("true")), {})
    if len(text) > _MAX_LENGTH or "\x00" in text:
        raise QueryError(f"the query is longer than {_MAX_LENGTH} characters or holds a NUL")
    parser = _Parser(list(_tokens(text)))
    condition = parser.either(depth=0)
    if parser.peek() is not None:
        raise QueryError(f"{parser.peek()!r} is one too many; join conditions with AND or OR")
    return ActivityQuery(condition, parser.values)


def _tokens(text: str) -> Iterator[str]:
    position, text = 0, text.strip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise QueryError(f"cannot read the query from {text[position : position + 20]!r} on")
        yield match.group().strip()
        position = match.end()


@dataclass
class _Parser:
    """Recursive descent over the tokens: either = both (OR both)*, both = one (AND one)*."""

    tokens: list[str]
    position: int = 0
    values: dict[str, object] = field(default_factory=dict)

    def peek(self) -> str | None:
        return self.tokens[self.position] if self.position < len(self.tokens) else None

    def either(self, depth: int) -> Composed:
        conditions = [self._both(depth)]
        while self._next_if("or"):
            conditions.append(self._both(depth))
        return SQL("({})").format(SQL(" or ").join(conditions))

    def _both(self, depth: int) -> Composed:
        conditions = [self._one(depth)]
        while self._next_if("and"):
            conditions.append(self._one(depth))
        return SQL("({})").format(SQL(" and ").join(conditions))

    def _one(self, depth: int) -> Composed:
        if depth > _MAX_DEPTH:
            raise QueryError("the query has too many brackets in one another")
        if self._next_if("("):
            condition = self.either(depth + 1)
            self._expect(")")
            return condition
        if self._next_if("contains"):
            return self._contains()
        name = self._next("a field")
        if name.lower() == "unique_args":
            return self._unique_arg(self._unquoted(self._next("a key in ['…']"), "["))
        if name.lower() not in _COLUMNS:
            raise QueryError(f"the field {name!r} is not known; use unique_args or one of {', '.join(_COLUMNS)}")
        operator, value = self._comparison()
        return self._compared(_COLUMNS[name.lower()], operator, stored_id(value) if name.lower() == "msg_id" else value)

    def _unique_arg(self, key: str) -> Composed:
        operator, value = self._comparison()
        if operator == "=":
            # containment, unlike the arrow, is looked up in the index
            return SQL("custom_args @> {}").format(self._bind(Jsonb({key: value})))
        return self._compared(SQL("custom_args ->> {}").format(self._bind(key)), operator, value)

    def _contains(self) -> Composed:
        self._expect("(")
        if self._next("a field").lower() != "categories":
            raise QueryError("CONTAINS looks into categories only")
        self._expect(",")
        value = self._bind(self._unquoted(self._next("a value in quotes"), '"'))
        self._expect(")")
        return SQL("{} = any(categories)").format(value)

    def _comparison(self) -> tuple[str, str]:
        operator = self._next("an operator").lower()
        if operator not in _OPERATORS:
            raise QueryError(f"{operator!r} is not an operator that is known here; use =, != or LIKE")
        return operator, self._unquoted(self._next("a value in quotes"), '"')

    def _compared(self, subject: Composable, operator: str, value: str) -> Composed:
        # % and _ stand for others; a backslash is itself
        bound = self._bind(value.replace("\\", "\\\\") if operator == "like" else value)
        return SQL("({} {} {})").format(subject, _OPERATORS[operator], bound)

    def _bind(self, value: object) -> Placeholder:
        name = f"query_{len(self.values)}"
        self.values[name] = value
        return Placeholder(name)

    def _unquoted(self, token: str, opening: str) -> str:
        if not token.startswith(opening):
            raise QueryError(f"a value in quotes is missing before {token!r}")
        inner = token[1:-1].strip()[1:-1] if opening == "[" else token[1:-1]
        return re.sub(r"\\(.)", r"\1", inner, flags=re.DOTALL)

    def _next(self, wanted: str) -> str:
        token = self.peek()
        if token is None:
            raise QueryError(f"the query ends where {wanted} should stand")
        self.position += 1
        return token

    def _next_if(self, token: str) -> bool:
        found = (self.peek() or "").lower() == token
        self.position += found
        return found

    def _expect(self, token: str) -> None:
        found = self._next(repr(token))
        if found != token:
            raise QueryError(f"{token!r} should stand where {found!r} does")
