"""What a person may write for a model: one grammar, and what each form is.

::

    hf:OWNER/REPO[@REVISION][:QUANT | /FILE.gguf]     the hub, as do OWNER/REPO[:QUANT],
                                                      hf.co/OWNER/REPO and the hub's own URLs
    ollama:[NAMESPACE/]NAME[:TAG]                     Ollama's registry; library/ and :latest
    oci:HOST[:PORT]/NAME[:TAG | @DIGEST]              any OCI registry
    https://HOST/…/FILE.gguf                          a file behind a URL
    ./x  ../x  /x  ~/x  x.gguf                        a path
    anything else                                     a name: of the settings or the store

A word that begins like a form is of that form, well made or refused. What is left and has a
slash is a path if there is such a file or folder, else ``OWNER/REPO``. Names are looked up
before any of this by ``resolve``, which says in which order.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from kolo.errors import BadParameter

MAX_REFERENCE_CHARS = 4096
OLLAMA_HOST = "registry.ollama.ai"
DEFAULT_TAG = "latest"
FORMS = (
    "a name that kolo ls shows, a path to a .gguf file, OWNER/REPO[:QUANT] or "
    "hf:OWNER/REPO/FILE.gguf, ollama:NAME[:TAG], oci:HOST/NAME:TAG, or https://…/FILE.gguf"
)

_HUB_HOSTS = ("huggingface.co", "www.huggingface.co", "hf.co")
_PART = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_-])?"
_HUB = re.compile(
    rf"(?P<owner>{_PART})/(?P<repo>{_PART})(?:@(?P<revision>refs/\w+/[\w.-]+|[\w.-]+))?"
    r"(?::(?P<quant>[\w.-]+)|/(?P<file>.+\.gguf))?",
    re.IGNORECASE | re.ASCII,
)
_HOST = r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)(?::\d{1,5})?"
_OCI_PART = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_OCI_NAME = rf"(?P<name>{_OCI_PART}(?:/{_OCI_PART})*)"
_TAG = r"(?::(?P<tag>\w[\w.-]{0,127})|@(?P<digest>sha256:[0-9a-f]{64}))?"
_OCI = re.compile(rf"(?P<host>{_HOST})/{_OCI_NAME}{_TAG}", re.ASCII)
_OLLAMA = re.compile(rf"{_OCI_NAME}{_TAG}", re.ASCII | re.IGNORECASE)


class HubRef(Struct, frozen=True):
    """A model on the Hugging Face hub. Without quant and file the source has a default."""

    owner: str
    repo: str
    quant: str = ""
    """As written, such as ``Q4_K_M``; the case is of no matter."""
    file: str = ""
    """A path in the repository."""
    revision: str = ""
    """A branch, tag or commit; empty is the main branch."""

    def __str__(self) -> str:
        revision = f"@{self.revision}" if self.revision else ""
        what = f":{self.quant}" if self.quant else f"/{self.file}" if self.file else ""
        return f"hf:{self.owner}/{self.repo}{revision}{what}"


class OciRef(Struct, frozen=True):
    """A model in an OCI registry (distribution-spec 1.1); Ollama's is one."""

    host: str
    """With the port, if any: ``localhost:5000``."""
    name: str
    tag: str = DEFAULT_TAG
    digest: str = ""
    """``sha256:…`` of the manifest; goes before the tag."""
    ollama: bool = False
    """Written ``ollama:``."""

    def __str__(self) -> str:
        what = f"@{self.digest}" if self.digest else f":{self.tag}"
        if self.ollama:
            return f"ollama:{self.name.removeprefix('library/')}{what}"
        return f"oci:{self.host}/{self.name}{what}"


class UrlRef(Struct, frozen=True):
    url: str
    """http or https, with a host and without user or password."""

    def __str__(self) -> str:
        """Without the query, which may hold a secret."""
        return self.url.split("?")[0]


class PathRef(Struct, frozen=True):
    path: Path
    """``~`` is expanded; need not exist."""

    def __str__(self) -> str:
        return str(self.path)


class NameRef(Struct, frozen=True):
    name: str

    def __str__(self) -> str:
        return self.name


RemoteRef = HubRef | OciRef | UrlRef
Reference = RemoteRef | PathRef | NameRef


def parse(text: str, *, ollama_host: str = OLLAMA_HOST, may_be_path: bool = True) -> Reference:
    """What ``text`` is by its form. BadParameter says what is wrong with it.

    Looks at the file system only for a word with a slash that has no other mark, and not even
    then unless it ``may_be_path``.
    """
    check(text)
    scheme, _, rest = text.partition(":")
    match scheme.lower():
        case "hf":
            return _hub(rest, text)
        case "ollama":
            return _ollama(rest, text, ollama_host)
        case "oci":
            return _oci(rest, text)
        case "http" | "https" if rest.startswith("//"):
            return _url(text)
    host, _, path = text.partition("/")
    if host.lower() in _HUB_HOSTS and path:
        return _hub(path, text)
    if looks_like_path(text):
        return PathRef(expanded(text) if may_be_path else Path(text))
    if "/" in text:
        return _path_or_hub(text, may_be_path)
    return NameRef(text)


def check(text: str) -> None:
    """BadParameter for what can be no reference at all."""
    if not text or len(text) > MAX_REFERENCE_CHARS or "\0" in text:
        raise BadParameter(
            f"a model's name has 1 to {MAX_REFERENCE_CHARS} characters and no NUL",
            hint=f"Possible: {FORMS}.",
            param="model",
        )


def looks_like_path(text: str) -> bool:
    """Whether ``text`` is a path by its form alone."""
    return text.startswith(("/", ".", "~")) or text.lower().endswith(".gguf")


def expanded(text: str) -> Path:
    """A path with the home folder put in. BadParameter for the home of nobody."""
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise BadParameter(f"{text}: {error}", param="model") from None


def is_safe(path: str) -> bool:
    """Whether a path in a repository stays inside it and can be shown."""
    parts = path.split("/")
    return path.isprintable() and "\\" not in path and not {"", ".", ".."} & {*parts}


def is_text(name: str) -> bool:
    """Whether the name of a file is text (UTF-8); one that is not could be told to nobody."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def origin(source: str) -> str:
    """What two references to models of one place have in common: of the hub, the repository."""
    try:
        meant = parse(source, may_be_path=False)
    except BadParameter:
        return source
    return f"hf:{meant.owner}/{meant.repo}".lower() if isinstance(meant, HubRef) else source


def _path_or_hub(text: str, may_be_path: bool) -> Reference:
    try:
        if may_be_path and Path(text).exists():
            return PathRef(Path(text))
    except OSError:  # no file can have such a name
        pass
    match = _HUB.fullmatch(text)
    return _hub(text, text) if match and not match["file"] else PathRef(Path(text))


def _hub(rest: str, text: str) -> HubRef:
    match = _HUB.fullmatch(rest)
    if match is None or ".." in match["repo"] or not is_safe(match["file"] or "x"):
        raise _malformed(text, "hf:OWNER/REPO, hf:OWNER/REPO:QUANT or hf:OWNER/REPO/FILE.gguf")
    groups = {name: value for name, value in match.groupdict().items() if value}
    return HubRef(**groups)


def _ollama(rest: str, text: str, host: str) -> OciRef:
    match = _OLLAMA.fullmatch(rest)
    if match is None:
        raise _malformed(text, "ollama:NAME[:TAG], such as ollama:qwen2.5:0.5b")
    name = match["name"] if "/" in match["name"] else f"library/{match['name']}"
    tag = match["tag"] or DEFAULT_TAG
    return OciRef(host, name, tag, match["digest"] or "", ollama=True)


def _oci(rest: str, text: str) -> OciRef:
    match = _OCI.fullmatch(rest)
    if match is None:
        raise _malformed(text, "oci:HOST[:PORT]/NAME[:TAG], the name in lower case")
    return OciRef(match["host"], match["name"], match["tag"] or DEFAULT_TAG, match["digest"] or "")


def _url(text: str) -> RemoteRef:
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise _malformed(text, f"https://HOST/PATH.gguf ({error})") from None
    if not host or not text.isprintable() or " " in text:
        raise _malformed(text, "https://HOST/PATH.gguf")
    if parts.username is not None or parts.password is not None:
        raise BadParameter(
            f"the URL of {host} carries a user or password, which would be kept with the model",
            hint="Leave it out; a token for the hub is taken from HF_TOKEN.",
            param="model",
        )
    if host in _HUB_HOSTS:
        return _hub_url(parts.path, text)
    if not unquote(parts.path).lower().endswith(".gguf"):
        raise _malformed(text, "https://HOST/PATH.gguf: what it names must end in .gguf")
    return UrlRef(text.split("#")[0])


def _hub_url(path: str, text: str) -> HubRef:
    """``/OWNER/REPO`` of the hub's site, or a file shown (blob) or fetched (resolve) there."""
    parts = unquote(path).strip("/").split("/")
    if len(parts) == 2:
        return _hub("/".join(parts), text)
    if len(parts) > 4 and parts[2] in ("blob", "resolve"):
        owner, repo, _, revision, *file = parts
        named = "" if revision == "main" else f"@{revision}"
        return _hub(f"{owner}/{repo}{named}/{'/'.join(file)}", text)
    raise _malformed(text, "https://huggingface.co/OWNER/REPO, or the URL of a .gguf file in it")


def _malformed(text: str, expected: str) -> BadParameter:
    shown = text if len(text) <= 100 else f"{text[:100]}…"
    return BadParameter(
        f"{shown!r} is not a reference to a model", hint=f"Expected {expected}.", param="model"
    )
