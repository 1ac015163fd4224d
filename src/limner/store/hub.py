"""Models on the Hugging Face Hub: ``hf:owner/name`` is a saved model, ``hf:owner/name/file.pth`` one file of weights.

What was downloaded once is read from the cache, also offline (``HF_HUB_OFFLINE=1``). A revision may follow the name:
``hf:owner/name@v1.0/file.pth``. It needs the extra ``hub``: huggingface_hub.
"""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from limner.errors import InputError

REACHED_IN = 3.0  # seconds, or the Hub is not reached
REPOSITORY = r"[\w.-]+/[\w.-]+?"
ADDRESS = re.compile(rf"hf:(?P<repository>{REPOSITORY})(?:@(?P<revision>[\w.-]+))?(?:/(?P<file>.+))?")


def download(address: str) -> Path:
    """Where a file or a folder from the Hub lies on this machine, downloaded if need be.

    Raises `InputError` if the address is none, and if what it names is neither in the cache nor to be had.
    """
    match = ADDRESS.fullmatch(address)
    if match is None:
        raise InputError(f"{address!r} is no address on the Hub: write hf:owner/name or hf:owner/name/file.pth")
    client = _client()
    from huggingface_hub import constants
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    repository, revision, file = match["repository"], match["revision"], match["file"]
    cached = constants.HF_HUB_OFFLINE or not reachable(constants.ENDPOINT)
    try:
        if file is None:
            return Path(client.snapshot_download(repository, revision=revision, local_files_only=cached))
        return Path(client.hf_hub_download(repository, file, revision=revision, local_files_only=cached))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        reason = "the Hub is not reached, and it was not downloaded before" if cached else _reason(error)
        raise InputError(
            f"{address} cannot be downloaded ({reason}): check name and network, or give a local path"
        ) from None


def reachable(endpoint: str) -> bool:
    """Does the Hub's name lead anywhere? Its client would ask for half a minute. Behind a proxy it decides itself."""
    host = urlsplit(endpoint)
    if getproxies() or not host.hostname:
        return True
    try:
        socket.create_connection((host.hostname, host.port or 443), REACHED_IN).close()
    except OSError:
        return False
    return True


def upload(folder: Path, repository: str, *, private: bool, message: str, token: str = "") -> None:
    """Put the files of a folder into a model repository ``owner/name``, made if there is none; an empty token is the
    account's own. Raises `InputError` if that is no name, offline, and if the Hub refuses."""
    if re.fullmatch(REPOSITORY, repository) is None:
        raise InputError(f"{repository!r} is no repository on the Hub: write owner/name")
    client = _client()
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError

    api = client.HfApi(token=token or None)
    try:
        api.create_repo(repository, private=private, exist_ok=True)
        api.upload_folder(repo_id=repository, folder_path=folder, commit_message=message)
    except (HfHubHTTPError, LocalTokenNotFoundError, OSError, ValueError) as error:
        raise InputError(
            f"{repository} cannot be pushed to the Hub ({_reason(error)}): check name, network and `hf auth login`, "
            "or save to a local folder"
        ) from None


def _client() -> Any:
    try:
        import huggingface_hub
    except ImportError:
        raise InputError(
            "the Hub is reached by huggingface_hub, which is not installed: pip install 'limner[hub]'"
        ) from None
    return huggingface_hub


def _reason(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:160] if str(error).strip() else type(error).__name__
