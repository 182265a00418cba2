"""Writes the pages of docs/ that come from the registries: `make docs`. A test compares them with what is committed."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.record import recorded
from benchmarks.scale import NAME as SCALE
from docs.names import names_page
from docs.scale import scale_page
from docs.systems import systems_page
from docs.tables import commands_page, errors_page, settings_page
from rag.cli.listing import component
from rag.graph.draw import svg
from rag.graph.kinds import TABLES
from rag.graph.load import builtin_names, load_spec
from rag.graph.schema import graph_schema
from retrievers.legs import LEGS

HERE = Path(__file__).parent


def pages() -> dict[str, str]:
    """File name -> content of every generated page, of what the plug-ins of this project add too."""
    LEGS.take_in()  # else it would depend on what was asked for before
    return {
        "reference/components.md": _components(),
        "reference/names.md": names_page(),
        "reference/commands.md": commands_page(),
        "reference/settings.md": settings_page(),
        "reference/errors.md": errors_page((HERE / "reference" / "errors.md").read_text(encoding="utf-8")),
        "graph.schema.json": json.dumps(graph_schema(), indent=1) + "\n",
        "ask.svg": svg(load_spec("ask").graph),
        "reference/scale.md": scale_page(
            (HERE / "reference" / "scale.md").read_text(encoding="utf-8"), recorded(SCALE)
        ),
        "reference/systems.md": systems_page((HERE / "systems.yaml").read_text(encoding="utf-8")),
    }


def _components() -> str:
    lines = [
        "# Components",
        "",
        "Written by `make docs` from the registries; `rag list` prints the same.",
        "",
    ]
    for stage, (registry, _) in TABLES.items():
        lines += [f"## {stage}", ""]
        for name in registry:
            entry = component(stage, name)
            lines += [f"### {entry['use']}", "", entry["summary"], ""]
            if entry["parameters"]:
                lines += ["| parameter | type | default | meaning |", "| --- | --- | --- | --- |"]
                for p in entry["parameters"]:
                    default = "required" if p["required"] else f"`{p['default']!r}`"
                    kind = p["type"].replace("|", "\\|")
                    lines.append(f"| `{p['name']}` | {kind} | {default} | {p['description']} |".replace("  ", " "))
                lines.append("")
    lines += ["## Built-in graphs", "", "| name | what it does |", "| --- | --- |"]
    lines += [f"| `{name}` | {load_spec(name).graph.description} |" for name in builtin_names()]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write every page."""
    for name, text in pages().items():
        (HERE / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
