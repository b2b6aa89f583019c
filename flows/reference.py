"""The README's parts that follow from the code; `python -m flows.reference` writes them anew."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from flows.cli import app
from tracker_core.pipeline import markdown_table
from tracker_core.settings import Settings

README = Path(__file__).resolve().parents[1] / "README.md"


def commands() -> Iterator[tuple[str, Any]]:
    """Every command with its full name, groups left out."""
    yield from _walk("tracker", typer.main.get_command(app))


def _walk(name: str, group: Any) -> Iterator[tuple[str, Any]]:
    for child_name, child in group.commands.items():
        full = f"{name} {child_name}"
        if hasattr(child, "commands"):
            yield from _walk(full, child)
        else:
            yield full, child


def command_reference() -> str:
    """Markdown: each command with its arguments and options."""
    lines: list[str] = []
    for name, command in commands():
        of_kind = {kind: [p for p in command.params if p.param_type_name == kind]
                   for kind in ("argument", "option")}  # fmt: skip
        usage = " ".join([name, *(_argument(argument) for argument in of_kind["argument"])])
        lines += [f"**`{usage}`** {command.help}", ""]
        for option in of_kind["option"]:
            if option.name not in ("help", "settings"):
                names = ", ".join(f"`{spelling}`" for spelling in option.opts)
                lines.append(f"- {names}: {option.help}")
        lines.append("")
    return "\n".join(lines).strip()


def _argument(argument: Any) -> str:
    name = argument.name.upper() + ("..." if argument.nargs == -1 else "")
    return name if argument.required else f"[{name}]"


def settings_reference() -> str:
    """Markdown: each setting with its default."""
    lines = ["| setting | default | |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = "" if field.default is None or field.is_required() else field.default
        if name in ("models_dir", "workers"):
            default = ""  # they differ from machine to machine
        lines.append(f"| `{name.upper()}` | {f'`{default}`' if default != '' else ''} "
                     f"| {field.description} |")  # fmt: skip
    return "\n".join(lines)


PARTS = {
    "stages": markdown_table,
    "commands": command_reference,
    "settings": settings_reference,
}


def updated(text: str) -> str:
    """The README's text with its generated parts as the code has them now."""
    for name, make in PARTS.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        before, found, rest = text.partition(begin)
        _, closed, after = rest.partition(end)
        if not found or not closed:
            raise ValueError(f"the README has no place for {name}: {begin.strip()} ... {end}")
        text = f"{before}{begin}{make()}\n{end}{after}"
    return text


if __name__ == "__main__":
    README.write_text(updated(README.read_text(encoding="utf-8")), encoding="utf-8", newline="\n")
