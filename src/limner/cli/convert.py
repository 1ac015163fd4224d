"""``limner convert``: weights as their authors released them, turned into a model folder without pickles."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, arg

from limner.cli.command import Flag, parse, print_json, standard_output_kept
from limner.errors import InputError

EXAMPLES = """\
  limner convert var_d16.pth models/var-d16
  limner convert hf:FoundationVision/var/vae_ch160v4096z32.pth models/var-tokenizer
  limner convert var_d16.pth models/var --tokenizer vae_ch160v4096z32.pth    # a folder that draws by itself
  limner convert c2i_L_384.pt models/llamagen --side 24
  limner convert checkpoint-last.pth models/mar-base --keys"""


@dataclass(frozen=True)
class Convert:
    """Turn a file of weights that the authors of a system released into a folder of safetensors and recipe.json.

    The system is recognised by the names of its weights; every one of them must find its place.
    """

    source: Positional[str]
    """A .pth, .pt, .bin or .safetensors file, or hf:owner/name/file on the Hugging Face Hub."""
    out: Positional[Path]
    """Folder to write."""
    tokenizer: Annotated[str | None, arg(metavar="FILE", help_behavior_hint="(default: none)")] = None
    """The file of the tokenizer that a generator draws with: `limner draw --classes` then needs the folder alone."""
    side: Annotated[int | None, arg(help_behavior_hint="(default: the usual number)")] = None
    """Tokens on a side of a picture, where weights do not tell: 24 for LlamaGen's models of 384 pixels."""
    keys: Flag = False
    """List every weight that was loaded and every key that was passed over."""
    json: Flag = False
    """Print one object {"system", "kind", "parameters", "loaded", "skipped"} and nothing else."""


def run(arguments: list[str]) -> None:
    """Converts and reports every key."""
    options = parse(Convert, "limner convert", EXAMPLES, arguments)
    with standard_output_kept(options.json):
        report = convert(options)
    if options.json:
        print_json(report)
        return
    if options.keys:
        for word in ("loaded", "skipped"):
            for key in report[word]:
                print(f"{word:<8} {key}")
    print(
        f"{report['system']} {report['kind']}: {report['parameters'] / 1e6:.1f} M parameters in "
        f"{len(report['loaded'])} tensors; {len(report['skipped'])} keys passed over\nwrote {options.out}"
    )


def convert(options: Convert) -> dict[str, Any]:
    """What `run` prints as JSON; ``loaded`` are limner's names, ``skipped`` the file's."""
    from limner.store.convert import convert as convert_file

    source = place(options.source)
    tokenizer = None if options.tokenizer is None else place(options.tokenizer)
    released = convert_file(source, options.out, side=options.side, tokenizer=tokenizer)
    return {
        "system": released.release.system,
        "kind": released.release.kind,
        "parameters": sum(parameter.numel() for parameter in released.model.parameters()),
        "loaded": list(released.report.loaded),
        "skipped": [*released.report.skipped, *released.elsewhere],
    }


def place(source: str) -> Path:
    """The file of weights that a path or an address on the Hub names."""
    from limner.store.files import HUB
    from limner.store.hub import download

    path = download(source) if source.startswith(HUB) else Path(source)
    if path.is_dir():
        raise InputError(f"{path} is a folder: name the file of weights in it")
    return path
