"""Models on the Hugging Face Hub: ``hf:owner/name`` is a saved model, ``hf:owner/name/file.pth`` one file of weights.

What was downloaded once is read from the cache, also offline (``HF_HUB_OFFLINE=1``). A revision may follow the name:
``hf:owner/name@v1.0/file.pth``.
"""

from __future__ import annotations

import re
from pathlib import Path

from limner.errors import InputError

PREFIX = "hf:"
ADDRESS = re.compile(r"hf:(?P<repository>[\w.-]+/[\w.-]+?)(?:@(?P<revision>[\w.-]+))?(?:/(?P<file>.+))?")


def download(address: str) -> Path:
    """Where a file or a folder from the Hub lies on this machine, downloaded if need be.

    Raises `InputError` if the address is none, and if what it names is neither in the cache nor to be had.
    """
    match = ADDRESS.fullmatch(address)
    if match is None:
        raise InputError(f"{address!r} is no address on the Hub: write hf:owner/name or hf:owner/name/file.pth")
    from huggingface_hub import hf_hub_download, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    repository, revision, file = match["repository"], match["revision"], match["file"]
    try:
        if file is None:
            return Path(snapshot_download(repository, revision=revision))
        return Path(hf_hub_download(repository, file, revision=revision))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0][:160] if str(error).strip() else type(error).__name__
        raise InputError(
            f"{address} cannot be downloaded ({reason}): check name and network, or give a local path"
        ) from None
