"""What the verbs share: reading options, and printing one JSON object and nothing else."""

from __future__ import annotations

import contextlib
import inspect
import io
import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, TypeVar, get_type_hints

import tyro

from limner.errors import InputError, printable
from limner.train.settings import marked

if TYPE_CHECKING:
    from rich.console import Console

Options = TypeVar("Options")
Flag: TypeAlias = Annotated[bool, tyro.conf.arg(help_behavior_hint="")]  # an option that is on when it is named
Precision: TypeAlias = Literal["fp32", "bf16", "fp16"]  # as `limner.nn.devices.Precision`, without torch
Techniques: TypeAlias = Annotated[  # --with NAME --with NAME:knob=value,knob=value
    tyro.conf.UseAppendAction[tuple[str, ...]],
    tyro.conf.arg(name="with", metavar="NAME[:knob=value,...]", help_behavior_hint="(repeatable)"),
]


def parse(
    options: type[Options], program: str, examples: str, arguments: list[str], purpose: str | None = None
) -> Options:
    """Reads ``arguments`` into a flat dataclass; --help shows the purpose (by default the docstring of the dataclass),
    then ``examples``, then every option.

    Knobs that are marked as rare are explained by --help-all alone.

    Exits as argparse does: 0 after --help, 2 with an explanation for arguments that do not fit. An `InputError` of the
    dataclass itself is raised as it is, where tyro would frame it.
    """
    rare = marked(options, "rare")
    listed, more = options, ""
    if "--help-all" in arguments:
        arguments = ["--help"]
    elif rare and {"-h", "--help"} & set(arguments):
        listed, more = without(options, rare), f"\n\nAll options, also {len(rare)} that are seldom changed: --help-all"
    if {"-h", "--help"} & set(arguments):
        listed = _switches_explained(listed)
    messages = io.StringIO()
    try:
        out = getattr(sys.stdout, "stream", sys.stdout)  # help is ours, and may be in colours
        with contextlib.redirect_stderr(messages), contextlib.redirect_stdout(out):
            return tyro.cli(
                listed,
                prog=program,
                description=f"{purpose or inspect.cleandoc(options.__doc__ or '')}\n\nExamples:\n{examples}{more}",
                args=arguments,
                config=(
                    tyro.conf.FlagCreatePairsOff,
                    tyro.conf.DisallowNone,
                    tyro.conf.PositionalMetavarFromFieldName,
                    tyro.conf.HelptextFromCommentsOff,
                ),
            )
    except SystemExit as stop:
        reason: BaseException | None = stop
        while reason is not None:
            if isinstance(reason, InputError):
                raise reason from None
            reason = reason.__context__
        sys.stderr.write(messages.getvalue())
        raise


def _switches_explained(options: type[Options]) -> type[Options]:
    """The dataclass with a word at options that are on: they are listed as --no-..., beside what they do when on."""
    hints, explained = get_type_hints(options, include_extras=True), {}
    for name, hint in hints.items():
        if hint is bool and getattr(options, name, False) is True:
            word = f"(on; --no-{name.replace('_', '-')} switches it off)"
            explained[name] = Annotated[bool, tyro.conf.arg(help_behavior_hint=word)]
    if not explained:
        return options
    return dataclass(frozen=True, kw_only=True)(type(options.__name__, (options,), {"__annotations__": explained}))


def without(options: type[Options], names: frozenset[str]) -> type[Options]:
    """The dataclass with some of its options hidden from the command line."""
    hidden = {
        name: Annotated[hint, tyro.conf.Suppress] for name, hint in get_type_hints(options).items() if name in names
    }
    return dataclass(frozen=True, kw_only=True)(type(options.__name__, (options,), {"__annotations__": hidden}))


def console(width: int | None = None, *, soft_wrap: bool = False) -> Console:
    """Where tables and coloured lines are printed; no text is taken for markup. Through a pipe ``width`` columns."""
    from rich.console import Console
    from rich.text import Text

    class Plain(Console):
        def render_str(self, text: str, **options: Any) -> Text:
            return super().render_str(printable(text), **options)

    out = getattr(sys.stdout, "stream", sys.stdout)
    columns = None if out.isatty() else width
    return Plain(file=out, width=columns, soft_wrap=soft_wrap, markup=False, highlight=False, emoji=False)


@contextlib.contextmanager
def standard_output_kept(json_wanted: bool) -> Iterator[None]:
    """While a command runs that will print JSON, whatever else is printed goes to standard error."""
    if not json_wanted:
        yield
        return
    with contextlib.redirect_stdout(sys.stderr):
        yield


def print_json(value: Mapping[str, Any] | Sequence[Any]) -> None:
    """One JSON value on one line. Numbers that JSON lacks (nan, infinity) become null."""
    print(json.dumps(_finite(value), allow_nan=False))


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
