"""Every error Kolo raises on purpose, as one tree.

::

    KoloError
    ├── UsageError            400  exit 2   the caller asked for something impossible
    │   ├── BadParameter                    one named field is wrong
    │   ├── ContextLengthExceeded           the prompt does not fit
    │   ├── BadGrammar                      a grammar or schema that cannot be honoured
    │   ├── BadTemplate                     the chat template refused the conversation
    │   ├── Unsupported                     this model cannot do that (chat, embed, infill)
    │   └── PrivateSource     403  exit 2   a download from a private address, not allowed here
    ├── ConfigError           500  exit 2   the configuration is wrong
    ├── ModelNotFound         404  exit 4
    ├── ModelInvalid          422  exit 1   the file is not a usable GGUF
    ├── LoadFailed            500  exit 1   llama.cpp would not load it
    ├── OutOfMemory           507  exit 5
    ├── DiskFull              507  exit 1   no room for a file; what is there of it is kept
    ├── SourceError           502  exit 1   where a model comes from does not do as it should
    │   ├── SourceUnreachable 502  exit 3   it does not answer, or breaks off again and again
    │   ├── SourceDenied      403  exit 6   it wants a token, or another one
    │   ├── SourceChanged     502  exit 1   the file became another while it was fetched
    │   └── ChecksumMismatch  502  exit 1   what came is not what the source says it is
    ├── Busy                  503  exit 1   the queue is full; carries retry_after_s
    ├── EngineCrashed         500  exit 1   the worker died under the request
    ├── EngineStopped         503  exit 1   the engine was told to stop under the request
    ├── ServerUnreachable     503  exit 3
    ├── AuthFailed            401  exit 6   no key, or one that is not valid (any more)
    ├── Forbidden             403  exit 6   a key that may not do this; a page, a host not allowed
    ├── RateLimited           429  exit 1   more than a key or an address may ask in a minute
    ├── AuditBroken           500  exit 8   the audit log was changed after it was written
    ├── DeadlineExceeded      504  exit 7
    └── InternalError         500  exit 1   a defect of ours, said as such

``message`` says what is wrong, ``hint`` what to try next, ``param`` which field it is about.
``http_status`` and ``exit_code`` are of the class; ``code`` is OpenAI's machine-readable word.
An error crosses a process boundary as an ``ErrorInfo`` and becomes the same class again.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec


class ErrorInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """An error as data, for the wire between processes."""

    kind: str
    message: str
    hint: str = ""
    param: str | None = None
    retry_after_s: float | None = None


class KoloError(Exception):
    """Base of the tree. ``str(error)`` is the message alone."""

    http_status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 1
    code: ClassVar[str] = "internal_error"
    type: ClassVar[str] = "server_error"

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        param: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.param = param
        self.retry_after_s = retry_after_s

    def info(self) -> ErrorInfo:
        """The error as data; ``from_info`` is the way back."""
        return ErrorInfo(
            type(self).__name__, self.message, self.hint, self.param, self.retry_after_s
        )


class UsageError(KoloError):
    http_status = 400
    exit_code = 2
    code = "invalid_request"
    type = "invalid_request_error"


class BadParameter(UsageError):
    code = "invalid_value"


class ContextLengthExceeded(UsageError):
    code = "context_length_exceeded"


class BadGrammar(UsageError):
    code = "invalid_grammar"


class BadTemplate(UsageError):
    code = "invalid_template_input"


class Unsupported(UsageError):
    code = "unsupported"


class PrivateSource(UsageError):
    http_status = 403
    code = "private_source"


class ConfigError(KoloError):
    exit_code = 2
    code = "invalid_config"


class ModelNotFound(KoloError):
    http_status = 404
    exit_code = 4
    code = "model_not_found"
    type = "invalid_request_error"


class ModelInvalid(KoloError):
    http_status = 422
    code = "model_invalid"
    type = "invalid_request_error"


class LoadFailed(KoloError):
    code = "model_load_failed"


class OutOfMemory(KoloError):
    http_status = 507
    exit_code = 5
    code = "out_of_memory"


class DiskFull(KoloError):
    http_status = 507
    code = "disk_full"


class SourceError(KoloError):
    http_status = 502
    code = "source_error"


class SourceUnreachable(SourceError):
    exit_code = 3
    code = "source_unreachable"


class SourceDenied(SourceError):
    http_status = 403
    exit_code = 6
    code = "source_denied"


class SourceChanged(SourceError):
    code = "source_changed"


class ChecksumMismatch(SourceError):
    code = "checksum_mismatch"


class Busy(KoloError):
    http_status = 503
    code = "engine_busy"
    type = "overloaded_error"


class EngineCrashed(KoloError):
    code = "engine_crashed"


class EngineStopped(KoloError):
    http_status = 503
    code = "engine_stopped"


class ServerUnreachable(KoloError):
    http_status = 503
    exit_code = 3
    code = "server_unreachable"


class AuthFailed(KoloError):
    http_status = 401
    exit_code = 6
    code = "invalid_api_key"
    type = "authentication_error"


class Forbidden(KoloError):
    http_status = 403
    exit_code = 6
    code = "forbidden"
    type = "permission_error"


class RateLimited(KoloError):
    http_status = 429
    code = "rate_limit_exceeded"
    type = "rate_limit_exceeded"


class AuditBroken(KoloError):
    exit_code = 8
    code = "audit_broken"


class DeadlineExceeded(KoloError):
    http_status = 504
    exit_code = 7
    code = "deadline_exceeded"
    type = "timeout_error"


class InternalError(KoloError):
    pass


def _classes(root: type[KoloError]) -> dict[str, type[KoloError]]:
    found = {root.__name__: root}
    for child in root.__subclasses__():
        found |= _classes(child)
    return found


def from_info(info: ErrorInfo) -> KoloError:
    """The exception that ``info`` describes; an unknown kind becomes InternalError."""
    cls = _classes(KoloError).get(info.kind, InternalError)
    return cls(info.message, hint=info.hint, param=info.param, retry_after_s=info.retry_after_s)


def internal(error: BaseException) -> InternalError:
    """Wrap an exception nobody foresaw, so that it still reaches the caller as one of ours."""
    return InternalError(
        f"internal error: {type(error).__name__}: {error}",
        hint="This is a defect in Kolo. Run again with KOLO_DEBUG=1 and report the traceback.",
    )
