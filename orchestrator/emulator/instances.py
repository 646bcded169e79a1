"""Makes an instance that validates against a response schema, from the request's digest alone.

Reads both the service's own Schema (`type: "OBJECT"`, either casing of its fields) and JSON Schema,
`$ref` and `$defs` included.
"""

from hashlib import blake2b
from typing import Any

from orchestrator.emulator.bodies import pick

DEPTH_MAX = 12
ITEMS_MAX = 1000
CHARS_MAX = 100_000
BAD_SCHEMA = (TypeError, ValueError, KeyError, AttributeError, OverflowError, RecursionError)


def can_be_met(schema: Any, digest: bytes) -> bool:
    """Say whether an instance can be made at all: JSON Schema comes unchecked in requests."""
    try:
        instance_of(schema, digest)
    except BAD_SCHEMA:
        return False
    return True


def instance_of(schema: dict[str, Any], digest: bytes) -> Any:
    """Make an instance of a schema; equal digests make equal instances."""
    return _Maker(schema, digest).make(schema, "$", 0)


class _Maker:
    def __init__(self, root: dict[str, Any], digest: bytes) -> None:
        self._root = root
        self._digest = digest

    def make(self, schema: Any, path: str, depth: int) -> Any:
        schema = self._resolved(schema)
        if not isinstance(schema, dict) or depth > DEPTH_MAX:
            return None
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return schema["enum"][self._draw(path) % len(schema["enum"])]
        for name in ("any_of", "anyOf", "oneOf", "allOf"):
            if schema.get(name):
                return self._combined(schema, name, path, depth)
        return self._typed(schema, path, depth)

    def _combined(self, schema: dict[str, Any], name: str, path: str, depth: int) -> Any:
        rest = {key: value for key, value in schema.items() if key != name}
        options = [self._resolved(option) for option in schema[name]]
        if name == "allOf":
            for option in options:
                rest = _merged(rest, option)
            return self.make(rest, path, depth)
        plain = [option for option in options if _type(option) != "null"] or options
        return self.make(_merged(rest, plain[0]), path, depth)

    def _typed(self, schema: dict[str, Any], path: str, depth: int) -> Any:
        match _type(schema):
            case "object":
                return self._object(schema, path, depth)
            case "array":
                return self._array(schema, path, depth)
            case "string":
                return self._string(schema, path)
            case "integer":
                return int(self._number(schema, path, whole=True))
            case "number":
                return self._number(schema, path, whole=False)
            case "boolean":
                return self._draw(path) % 2 == 0
            case "null":
                return None
            case _:
                return f"[emulator] {self._digest.hex()[:16]}"

    def _object(self, schema: dict[str, Any], path: str, depth: int) -> dict[str, Any]:
        properties = schema.get("properties") or {}
        required = schema.get("required") or []
        order = pick(schema, "property_ordering", "propertyOrdering") or list(properties)
        names = [name for name in order if name in properties]
        names += [name for name in properties if name not in names]
        made: dict[str, Any] = {}
        for name in names:
            if name in required or depth < 4:
                made[name] = self.make(properties[name], f"{path}.{name}", depth + 1)
        least = int(pick(schema, "min_properties", "minProperties") or 0)
        extra = schema.get("additionalProperties")
        for name in [*(name for name in required if name not in made)]:
            made[name] = self.make(
                extra if isinstance(extra, dict) else {}, f"{path}.{name}", depth + 1
            )
        if least > ITEMS_MAX:
            raise ValueError(f"{path}: more than {ITEMS_MAX} properties")
        while len(made) < least:
            name = f"emulator_{len(made)}"
            made[name] = self.make(
                extra if isinstance(extra, dict) else {}, f"{path}.{name}", depth + 1
            )
        return made

    def _array(self, schema: dict[str, Any], path: str, depth: int) -> list[Any]:
        least = int(pick(schema, "min_items", "minItems") or 0)
        most = pick(schema, "max_items", "maxItems")
        first = schema.get("prefixItems") or []
        if least > ITEMS_MAX:
            raise ValueError(f"{path}: more than {ITEMS_MAX} items")
        count = max(least, len(first), 1 + self._draw(path) % 2)
        if most is not None:
            count = max(min(count, int(most)), least)
        if depth >= DEPTH_MAX - 2:
            count = least
        items = schema.get("items")
        return [
            self.make(first[at] if at < len(first) else items or {}, f"{path}[{at}]", depth + 1)
            for at in range(count)
        ]

    def _string(self, schema: dict[str, Any], path: str) -> str:
        formats = {
            "date-time": "2026-01-01T00:00:00Z",
            "date": "2026-01-01",
            "time": "00:00:00Z",
            "duration": "PT1S",
            "email": "emulator@example.com",
            "uuid": f"00000000-0000-4000-8000-{self._digest.hex()[:12]}",
            "uri": "https://example.com/emulator",
            "hostname": "example.com",
            "ipv4": "192.0.2.1",
            "ipv6": "2001:db8::1",
        }
        text = formats.get(str(schema.get("format")), f"[emulator] {self._digest.hex()[:16]}")
        least = int(pick(schema, "min_length", "minLength") or 0)
        most = pick(schema, "max_length", "maxLength")
        if least > CHARS_MAX:
            raise ValueError(f"{path}: more than {CHARS_MAX} characters")
        text += "." * max(least - len(text), 0)
        return text if most is None else text[: int(most)]

    def _number(self, schema: dict[str, Any], path: str, *, whole: bool) -> float:
        low, high = schema.get("minimum"), schema.get("maximum")
        above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
        step = 1.0 if whole else 0.5
        if low is None and above is not None:
            low = float(above) + step
        if high is None and below is not None:
            high = float(below) - step
        if low is None:
            low = 0.0 if high is None else float(high) - 100
        if high is None:
            high = float(low) + 100
        drawn = float(low) + (self._draw(path) % 101) / 100 * (float(high) - float(low))
        multiple = schema.get("multipleOf")
        if multiple:
            return -(-float(low) // float(multiple)) * float(multiple)
        return float(max(-(-float(low) // 1), drawn // 1)) if whole else round(drawn, 6)

    def _draw(self, path: str) -> int:
        key = self._digest + path.encode("utf-8", "surrogatepass")
        return int.from_bytes(blake2b(key, digest_size=4).digest(), "big")

    def _resolved(self, schema: Any) -> Any:
        for _ in range(8):
            if not isinstance(schema, dict):
                return schema
            reference = schema.get("$ref") or schema.get("ref")
            if not isinstance(reference, str):
                return schema
            found: Any = self._root
            for step in reference.lstrip("#/").split("/"):
                found = found.get(step) if isinstance(found, dict) else None
            if found is None:
                found = (self._root.get("defs") or {}).get(reference.split("/")[-1])
            schema = found
        return schema


def _type(schema: Any) -> str:
    if not isinstance(schema, dict):
        return ""
    type_ = schema.get("type")
    if isinstance(type_, list):
        type_ = next((name for name in type_ if str(name).lower() != "null"), "null")
    if type_ is None:
        if schema.get("properties"):
            return "object"
        return "array" if schema.get("items") else ""
    return str(type_).lower()


def _merged(left: dict[str, Any], right: Any) -> dict[str, Any]:
    if not isinstance(right, dict):
        return left
    merged = left | right
    if left.get("properties") and right.get("properties"):
        merged["properties"] = left["properties"] | right["properties"]
    if left.get("required") and right.get("required"):
        merged["required"] = [*left["required"], *right["required"]]
    return merged
