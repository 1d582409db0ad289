"""Push a bundle to the Hugging Face hub, from where ``monai.bundle.download`` gets it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.utils import validate_repo_id

from monai_tunevlseg.sharing.hub_card import render_hub_card
from monai_tunevlseg.sharing.packing import bundle_files, read_version

__all__ = ["HubUpload", "prepare_upload", "push_bundle"]

CARD = "README.md"
LATEST = "latest_version"
"""Tag that ``monai.bundle.download`` takes without a version."""


@dataclass(frozen=True)
class HubUpload:
    """What a push uploads.

    Attributes:
        repo: id of the repository, OWNER/NAME.
        version: version of the bundle, which becomes a tag.
        files: files on this machine by their paths in the repository.
        card: content of ``README.md``.
    """

    repo: str
    version: str
    files: dict[str, Path]
    card: str

    @property
    def sizes(self) -> dict[str, int]:
        """The sizes of all files in bytes by their paths in the repository."""
        return {name: path.stat().st_size for name, path in self.files.items()} | {CARD: len(self.card.encode())}


def prepare_upload(folder: str | Path, repo: str) -> HubUpload:
    """Collect what a push uploads, without a network.

    The files are those of the folder, large ones included, and a ``README.md`` with the facts that the hub reads.

    Args:
        folder: folder of the bundle.
        repo: id of the repository, OWNER/NAME.

    Raises:
        FileNotFoundError: when the folder has no metadata or no model card.
        ValueError: when the id or the version is malformed, or the folder has links or hidden files.
    """
    folder = Path(folder)
    validate_repo_id(repo)
    if repo.count("/") != 1:
        raise ValueError(f"repository {repo!r} is not of the form OWNER/NAME.")
    version, card = read_version(folder), render_hub_card(folder)
    files = {path.relative_to(folder).as_posix(): path for path in bundle_files(folder)}
    files.pop(CARD, None)
    return HubUpload(repo, version, files, card)


def push_bundle(upload: HubUpload, private: bool = True) -> str:
    """Push a bundle in one commit, and tag it with its version and as ``latest_version``.

    The repository is that of ``monai.bundle.push_to_hf_hub``. That command is not used because it writes its own facts
    into the card, among them the license of the configs as that of the weights, and leaves an old tag where it is.

    Args:
        upload: what to push.
        private: whether a new repository is private.

    Returns:
        URL of the repository.

    Raises:
        OSError: when the hub refuses.
        ValueError: when the repository has this version.
    """
    api = HfApi()
    url = api.create_repo(upload.repo, private=private, exist_ok=True)
    tags = {tag.name for tag in api.list_repo_refs(upload.repo).tags}
    if upload.version in tags:
        raise ValueError(f"{upload.repo} has a version {upload.version}; share the bundle with another --version.")
    contents: dict[str, Path | bytes] = {**upload.files, CARD: upload.card.encode()}
    operations = [CommitOperationAdd(path_in_repo=name, path_or_fileobj=content) for name, content in contents.items()]
    commit = api.create_commit(upload.repo, operations, commit_message=f"Add version {upload.version}")
    api.create_tag(upload.repo, tag=upload.version, revision=commit.oid)
    if LATEST in tags:
        api.delete_tag(upload.repo, tag=LATEST)
    api.create_tag(upload.repo, tag=LATEST, revision=commit.oid)
    return str(url)
