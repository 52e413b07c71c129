"""Whose rows a statement touches, read from the statement itself by Postgres's own parser.

Columns that a statement sets equal are one class. What has to be on one shard is a FROM with all that is in it: its tables of
ledgers must be of one class (`crosses`: they are not). A class is of the ledger, or the ledgers, that are given, or of all.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cache
from itertools import count
from typing import Any, Final

import msgspec
import pglast.parser

from storage import rebuild, tables

KEYS: Final = {table.name: "id" if table is tables.ledgers else "ledger_id" for table in tables.PER_LEDGER}
"""The tables that are spread over the shards, each with the column that says where a row goes."""
SCHEMAS: Final = (tables.SCHEMA, rebuild.FRESH)
"""A rebuild makes the same tables once more beside those in use."""
FREE: Final = {table.name for table in tables.metadata.sorted_tables} - set(KEYS) | {"alembic_version"}
"""Those that are the same everywhere."""
COLUMNS: Final = {table.name: frozenset(column.name for column in table.c) for table in tables.metadata.sorted_tables}
_MARK = re.compile(r"%(?:\((\w+)\)s|(s)|%)")

Node = dict[str, Any]
Column = tuple[int, str]
"""Of a relation of the statement; what a statement is given is a relation too."""


class Reach(IntEnum):
    """Of how many ledgers a statement touches rows."""

    NONE = 0
    """It reads and writes what belongs to no ledger."""
    ONE = 1
    """Of one that it is given."""
    GIVEN = 2
    """Of each one of a list that it is given."""
    ALL = 3
    """Of whichever there are."""


@dataclass(frozen=True)
class Verdict:
    """What a statement does."""

    reach: Reach
    crosses: bool
    """Rows of one ledger meet rows of another."""
    tables: frozenset[str]


@dataclass
class _Relation:
    """What stands in a FROM: `own` columns by name (None: it is a table), those of `parts`, and the tables below it."""

    number: int
    own: dict[str, Column | None] | None
    order: list[Column | None] = field(default_factory=list)
    parts: "list[_Relation]" = field(default_factory=list)
    below: set[Column] = field(default_factory=set)
    """The keys of all tables of ledgers in it."""
    named: frozenset[str] | None = None
    """The columns that a table has, where that is known."""

    def column(self, name: str) -> Column | None:
        """What `name` is, where that can be said."""
        if self.own is None:
            return (self.number, name) if self.named is None or name in self.named else None
        if name in self.own:
            return self.own[name]
        return next((found for part in self.parts if (found := part.column(name)) is not None), None)


_Scope = list[dict[str, _Relation]]
_Tables = Mapping[str, _Relation]


def numbered(sql: str) -> str:
    """`sql` in psycopg's style as Postgres is sent it."""
    places = count(1)
    seen: defaultdict[str, int] = defaultdict(lambda: next(places))

    def place(found: re.Match[str]) -> str:
        name, is_positional = found.groups()
        return f"${seen[name] if name else next(places)}" if name or is_positional else "%"

    return _MARK.sub(place, sql)


@cache
def verdicts(sql: str) -> tuple[Verdict, ...]:
    """Of each statement of `sql`, which is in psycopg's style. Raises pglast.parser.ParseError."""
    parsed = msgspec.json.decode(pglast.parser.parse_sql_json(numbered(sql)))
    return tuple(_Judge().verdict(each["stmt"]) for each in parsed.get("stmts", ()))


class _Judge:
    def __init__(self) -> None:
        self._numbers = count()
        self._above: dict[Column, Column] = {}
        self._reach: dict[Column, Reach] = {}
        self._keys: dict[Column, str] = {}
        self._joined: list[set[Column]] = []

    def verdict(self, statement: Node) -> Verdict:
        self._statement(statement, [], {})
        reaches = [self._reach.get(self._root(key), Reach.ALL) for key in self._keys]
        crosses = any(len({self._root(key) for key in keys}) > 1 for keys in self._joined)
        return Verdict(max(reaches, default=Reach.NONE), crosses, frozenset(self._keys.values()))

    # --- classes of columns ---

    def _root(self, column: Column) -> Column:
        while column in self._above:
            column = self._above[column]
        return column

    def _equal(self, one: Column | None, other: Column | None) -> None:
        if one is None or other is None:
            return
        one, other = self._root(one), self._root(other)
        if one != other:
            self._above[one] = other
            self._give(other, self._reach.pop(one, Reach.ALL))

    def _give(self, column: Column, reach: Reach) -> None:
        root = self._root(column)
        self._reach[root] = min(reach, self._reach.get(root, Reach.ALL))

    def _given(self, name: str, reach: Reach) -> Column:
        """A value that comes with the statement; the same one has the same name."""
        column = (-1, name) if reach == Reach.ONE else (next(self._numbers), name)
        self._give(column, reach)
        return column

    # --- statements ---

    def _statement(self, statement: Node, outer: _Scope, known: _Tables) -> _Relation:
        [(kind, node)] = statement.items()
        if kind in ("SelectStmt", "InsertStmt", "UpdateStmt", "DeleteStmt"):
            return self._query(kind, node, outer, known)
        inner = _Relation(next(self._numbers), {})
        for value in node.values():
            for each in value if isinstance(value, list) else [value]:
                if isinstance(each, dict) and len(each) == 1 and next(iter(each)).endswith("Stmt"):
                    inner = self._statement(each, outer, known)
                else:
                    self._named(each)
        return inner

    def _named(self, part: Any) -> None:
        """Tables of ledgers that something which is no query names."""
        for node in _nodes(part):
            if node.get("relname") in KEYS:
                self._table(node, {}, {})

    def _query(self, kind: str, node: Node, outer: _Scope, known: _Tables) -> _Relation:
        own = dict(known)
        clause = node.get("withClause", {})
        for each in clause.get("ctes", ()):
            expression = each["CommonTableExpr"]
            if clause.get("recursive"):
                own[expression["ctename"]] = _Relation(next(self._numbers), None)
            own[expression["ctename"]] = _renamed(
                self._statement(expression["ctequery"], outer, own), expression.get("aliascolnames")
            )
        if node.get("op", "SETOP_NONE") != "SETOP_NONE":
            return self._union(node, outer, own)
        if "valuesLists" in node:
            return self._values(node["valuesLists"], outer, own)
        return self._plain(kind, node, outer, own)

    def _union(self, node: Node, outer: _Scope, known: _Tables) -> _Relation:
        left, right = (self._query("SelectStmt", node[side], outer, known) for side in ("larg", "rarg"))
        for one, other in zip(left.order, right.order, strict=False):
            self._equal(one, other)
        left.below |= right.below
        left.parts = left.parts + right.parts
        return left

    def _values(self, rows: list[Node], outer: _Scope, known: _Tables) -> _Relation:
        number = next(self._numbers)
        order: list[Column | None] = []
        for row in rows:
            items = [self._value(item, outer, known) for item in row["List"]["items"]]
            order = items if len(rows) == 1 else [self._given(f"{number} {place}", Reach.GIVEN) for place in range(len(items))]
        return _Relation(number, {f"column{place}": column for place, column in enumerate(order, 1)}, order)

    def _plain(self, kind: str, node: Node, outer: _Scope, known: _Tables) -> _Relation:
        if any(each.get("A_Const", {}).get("boolval") == {} for each in _all_of(node.get("whereClause"))):
            return _Relation(next(self._numbers), {})  # where false
        names: dict[str, _Relation] = {}
        scope = [*outer, names]
        here: set[Column] = set()
        if kind != "SelectStmt":
            here |= self._table(node["relation"], names, {}).below
        for each in (*node.get("fromClause", ()), *node.get("usingClause", ())):
            here |= self._from(each, names, scope, known)
        here |= self._condition(node.get("whereClause"), scope, known)
        if kind == "InsertStmt" and "selectStmt" in node:
            here |= self._insert(node, names, scope, known)
        made = _Relation(next(self._numbers), {})
        for each in node.get("returningClause", {}).get("exprs", ()) if kind != "SelectStmt" else node.get("targetList", ()):
            here |= self._target(each["ResTarget"], made, names, scope, known)
        rest = {
            key: value for key, value in node.items() if key in ("havingClause", "groupClause", "sortClause", "onConflictClause")
        }
        if kind == "UpdateStmt":
            rest["targetList"] = node["targetList"]
        here |= self._sublinks(rest, scope, known)
        self._joined.append(here)
        made.below = here
        return made

    def _insert(self, node: Node, names: dict[str, _Relation], scope: _Scope, known: _Tables) -> set[Column]:
        source = self._statement(node["selectStmt"], scope, known)
        [target] = names.values()
        for place, each in enumerate(node.get("cols", ())):
            if place < len(source.order):
                self._equal(target.column(each["ResTarget"]["name"]), source.order[place])
            else:
                self._equal(target.column(each["ResTarget"]["name"]), source.column(each["ResTarget"]["name"]))
        return source.below

    def _target(self, target: Node, made: _Relation, names: dict[str, _Relation], scope: _Scope, known: _Tables) -> set[Column]:
        value, own = target["val"], made.own
        assert own is not None
        fields = value.get("ColumnRef", {}).get("fields", [])
        if fields and "A_Star" in fields[-1]:
            of = [names[fields[0]["String"]["sval"]]] if len(fields) == 2 else list(names.values())
            made.parts += of
            if len(of) == 1:
                made.order += of[0].order
            return set()
        column = self._value(value, scope, known)
        name = target.get("name") or (fields[-1]["String"]["sval"] if fields else _called(value))
        own.setdefault(name, column)
        made.order.append(column)
        return self._sublinks(value, scope, known)

    # --- from ---

    def _from(self, node: Node, names: dict[str, _Relation], scope: _Scope, known: _Tables) -> set[Column]:
        [(kind, each)] = node.items()
        if kind == "JoinExpr":
            return self._join(each, names, scope, known)
        if kind == "RangeVar":
            return self._table(each, names, known).below
        is_query = kind == "RangeSubselect"
        made = self._statement(each["subquery"], scope, known) if is_query else self._function(each, scope, known)
        alias = each.get("alias", {})
        names[alias.get("aliasname") or _called_function(each)] = _renamed(made, alias.get("colnames"))
        return made.below

    def _join(self, node: Node, names: dict[str, _Relation], scope: _Scope, known: _Tables) -> set[Column]:
        left: dict[str, _Relation] = {}
        right: dict[str, _Relation] = {}
        found = self._from(node["larg"], left, scope, known)
        found |= self._from(node["rarg"], right, [*scope, left], known)
        names.update(left | right)
        for each in node.get("usingClause", ()):
            name = each["String"]["sval"]
            sides = [next((c for r in side.values() if (c := r.column(name)) is not None), None) for side in (left, right)]
            self._equal(*sides)
        return found | self._condition(node.get("quals"), [*scope, left | right], known)

    def _table(self, node: Node, names: dict[str, _Relation], known: _Tables) -> _Relation:
        name, alias = node["relname"], node.get("alias", {})
        if "schemaname" not in node and name in known:
            made = known[name]
        else:
            made = _Relation(next(self._numbers), None, named=COLUMNS.get(name))
            if name in KEYS and node.get("schemaname", tables.SCHEMA) in SCHEMAS:
                key = (made.number, KEYS[name])
                self._keys[key] = name
                made.below = {key}
        names[alias.get("aliasname", name)] = _renamed(made, alias.get("colnames"))
        return made

    def _function(self, node: Node, scope: _Scope, known: _Tables) -> _Relation:
        """What a function makes of what it is given is given; of columns nothing is known."""
        number = next(self._numbers)
        sees = any("ColumnRef" in part or "SubLink" in part for part in _nodes(node.get("functions", ())))
        columns = [each["ColumnDef"]["colname"] for each in node.get("coldeflist", ())]
        columns = columns or [each["String"]["sval"] for each in node.get("alias", {}).get("colnames", ())]
        columns = columns or [node.get("alias", {}).get("aliasname", _called_function(node)), *sorted(set(KEYS.values()))]
        order: list[Column | None] = [None if sees else self._given(f"{number} {name}", Reach.GIVEN) for name in columns]
        made = _Relation(number, dict(zip(columns, order, strict=True)), order)
        made.below = self._sublinks(node, scope, known)
        return made

    # --- conditions ---

    def _condition(self, node: Node | None, scope: _Scope, known: _Tables) -> set[Column]:
        for each in _all_of(node):
            if "A_Expr" in each and each["A_Expr"].get("name") == [{"String": {"sval": "="}}]:
                self._comparison(each["A_Expr"], scope, known)
            elif "A_Expr" in each and each["A_Expr"]["kind"] == "AEXPR_IN":
                self._listed(each["A_Expr"]["lexpr"], scope, known)
        self._stretch([each["A_Expr"] for each in _all_of(node) if "A_Expr" in each], scope, known)
        return self._sublinks(node, scope, known)

    def _stretch(self, nodes: list[Node], scope: _Scope, known: _Tables) -> None:
        """(a, b, c) >= (x, y, z) and (a, b) <= (x, y): then a = x and b = y."""
        ends: dict[str, list[list[tuple[Column | None, ...]]]] = {">=": [], "<=": []}
        for node in nodes:
            if node["name"][-1]["String"]["sval"] in ends and "RowExpr" in node["lexpr"] and "RowExpr" in node["rexpr"]:
                rows = ([self._value(each, scope, known) for each in _row(node[side])] for side in ("lexpr", "rexpr"))
                ends[node["name"][-1]["String"]["sval"]].append(list(zip(*rows, strict=True)))
        for lower in ends[">="]:
            for upper in ends["<="]:
                if lower[: len(upper)] == upper:
                    for one, other in upper:
                        self._equal(one, other)

    def _comparison(self, node: Node, scope: _Scope, known: _Tables) -> None:
        if node["kind"] in ("AEXPR_OP_ANY", "AEXPR_IN"):
            if not any("ColumnRef" in part or "SubLink" in part for part in _nodes(node["rexpr"])):
                self._listed(node["lexpr"], scope, known)
            return
        if node["kind"] != "AEXPR_OP":
            return
        sides = [_row(node[side]) for side in ("lexpr", "rexpr")]
        for one, other in zip(*sides, strict=False):
            self._equal(self._value(one, scope, known), self._value(other, scope, known))

    def _listed(self, node: Node, scope: _Scope, known: _Tables) -> None:
        for each in _row(node):
            column = self._value(each, scope, known)
            if column is not None:
                self._give(column, Reach.GIVEN)

    def _sublinks(self, node: Any, scope: _Scope, known: _Tables) -> set[Column]:
        """Subqueries anywhere in an expression, which see what is around them."""
        found: set[Column] = set()
        if isinstance(node, list):
            for each in node:
                found |= self._sublinks(each, scope, known)
        elif isinstance(node, dict):
            if "subLinkType" in node:
                inner = self._statement(node["subselect"], scope, known)
                found |= inner.below
                if node["subLinkType"] == "ANY_SUBLINK":
                    for one, other in zip(_row(node["testexpr"]), inner.order, strict=False):
                        self._equal(self._value(one, scope, known), other)
                return found | self._sublinks(node.get("testexpr"), scope, known)
            for each in node.values():
                found |= self._sublinks(each, scope, known)
        return found

    def _value(self, node: Node, scope: _Scope, known: _Tables) -> Column | None:
        [(kind, each)] = node.items()
        if kind == "TypeCast":
            return self._value(each["arg"], scope, known)
        if kind == "ParamRef":
            return self._given(f"${each['number']}", Reach.ONE)
        if kind == "A_Const":
            return self._given(str(sorted((k, str(v)) for k, v in each.items() if k != "location")), Reach.ONE)
        if kind == "SubLink" and each["subLinkType"] == "EXPR_SUBLINK":
            order = self._statement(each["subselect"], scope, known).order
            return order[0] if order else None
        if kind == "FuncCall" and _called(node) == "unnest" and not any("ColumnRef" in part for part in _nodes(each)):
            return self._given("unnest", Reach.GIVEN)
        return (
            _resolved([part["String"]["sval"] for part in each["fields"] if "String" in part], scope)
            if kind == "ColumnRef"
            else None
        )


def _resolved(path: list[str], scope: _Scope) -> Column | None:
    *qualifier, name = path
    for names in reversed(scope):
        if qualifier:
            if qualifier[-1] in names:
                return names[qualifier[-1]].column(name)
        else:
            found = [column for relation in names.values() if (column := relation.column(name)) is not None]
            if found:
                return found[0] if len(found) == 1 else _likely(names, name)
    return None


def _likely(names: dict[str, _Relation], name: str) -> Column | None:
    """A bare name where several relations could have it: who says that it has it, or the table of ledgers whose key it is."""
    stated = [relation for relation in names.values() if relation.own is not None and relation.column(name) is not None]
    keyed = [relation for relation in names.values() if relation.own is None and (relation.number, name) in relation.below]
    for relation in (*stated, *keyed, *names.values()):
        if (column := relation.column(name)) is not None:
            return column
    return None


def _renamed(made: _Relation, columns: list[Node] | None) -> _Relation:
    if not columns:
        return made
    names = [each["String"]["sval"] for each in columns]
    own = dict(zip(names, made.order, strict=False))
    return _Relation(made.number, own, made.order, made.parts if len(own) < len(names) else [], made.below, made.named)


def _row(node: Node) -> list[Node]:
    args: list[Node] = node["RowExpr"]["args"] if "RowExpr" in node else [node]
    return args


def _all_of(node: Node | None) -> Iterator[Node]:
    """The conditions that all hold."""
    if node is None:
        return
    if node.get("BoolExpr", {}).get("boolop") == "AND_EXPR":
        for each in node["BoolExpr"]["args"]:
            yield from _all_of(each)
    else:
        yield node


def _nodes(part: Any) -> Iterator[Node]:
    if isinstance(part, dict):
        yield part
        part = list(part.values())
    for each in part if isinstance(part, list | tuple) else ():
        yield from _nodes(each)


def _called(value: Node) -> str:
    """The name of an output column that has no alias."""
    if "TypeCast" in value:
        return _called(value["TypeCast"]["arg"])
    if "ColumnRef" in value:
        return str(value["ColumnRef"]["fields"][-1].get("String", {}).get("sval", "?"))
    names: Iterable[Node] = value.get("FuncCall", {}).get("funcname", ())
    return next((str(name["String"]["sval"]) for name in reversed(list(names))), "?")


def _called_function(node: Node) -> str:
    for part in _nodes(node.get("functions", ())):
        if "funcname" in part:
            return str(part["funcname"][-1]["String"]["sval"])
    return "?"
