"""Kolosal's errors: its codes and types, where they are not the house's own."""

from __future__ import annotations

from typing import ClassVar

from kolo.errors import BadParameter, ModelNotFound, UsageError


class ModelPathNotFound(BadParameter):
    code = "model_path_not_found"


class ModelPathAccessDenied(BadParameter):
    code = "model_path_access_denied"


class ModelFileNotFound(BadParameter):
    code = "model_file_not_found"


class InvalidModelFormat(BadParameter):
    code = "invalid_model_format"


class InvalidModelPathType(BadParameter):
    code = "invalid_model_path_type"


PATH_ERRORS = (
    ModelPathNotFound,
    ModelPathAccessDenied,
    ModelFileNotFound,
    InvalidModelFormat,
    InvalidModelPathType,
)


class EngineExists(UsageError):
    http_status: ClassVar[int] = 409
    code = "engine_id_exists"


class ModelExists(EngineExists):
    """The same in the later form, ``/models``."""

    code = "model_already_loaded"


def not_found(error: ModelNotFound, param: str) -> ModelNotFound:
    """``error`` with Kolosal's type. No class of its own: a client tells errors by their code,
    and one code is one class."""
    told = ModelNotFound(error.message, hint=error.hint, param=param)
    vars(told)["type"] = "not_found_error"
    return told


class EngineConfigured(UsageError):
    """Not to be forgotten: the next look at the settings would bring it back."""

    http_status: ClassVar[int] = 409
    code = "engine_configured"


class DownloadFailed(UsageError):
    """A URL as ``model_path``."""

    http_status: ClassVar[int] = 422
    code = "download_start_failed"
    type = "model_download_error"


class LoadingFailed(UsageError):
    """The engine could not be loaded, and is not added. 422, as it is about what was asked."""

    http_status: ClassVar[int] = 422
    code = "model_loading_failed"
    type = "model_loading_error"
