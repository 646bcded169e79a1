"""Settings laid over settings."""


def merged(text: str, service: str, more: str) -> str:
    """Lay settings over settings: a key that comes again replaces the first."""
    sections: dict[str, dict[str, str]] = {}
    for part in (text, f"[service]\n{service}\n", more):
        section = ""
        for row in part.splitlines():
            if row.startswith("["):
                section = row
            elif "=" in row:
                name, _, value = row.partition("=")
                sections.setdefault(section, {})[name.strip()] = value.strip()
    return "".join(
        f"{section}\n" + "".join(f"{name} = {value}\n" for name, value in rows.items())
        for section, rows in sections.items()
    )
