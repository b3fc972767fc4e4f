"""Published weights by name, through the caches of the libraries that publish them.

`torchvision:resnet50/IMAGENET1K_V2`, `timm:resnet50.a1_in1k`, `hf:org/repo` or `hf:org/repo/file.safetensors`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from specdl.diagnostics import Diagnostic, SpecError

SCHEMES = ("torchvision", "timm", "hf")


def is_published(name: str) -> bool:
    """Whether a `load` names published weights, and not a file."""
    scheme, colon, _ = name.partition(":")
    return bool(colon) and scheme in SCHEMES


def fetch(name: str) -> Path:
    """The file of published weights, downloaded where the library's cache lacks it.

    Raises `SpecError` where the library isn't installed, doesn't know the name, or can't be reached.
    """
    scheme, _, rest = name.partition(":")
    return {"torchvision": _torchvision, "timm": _timm, "hf": _hugging_face}[scheme](name, rest)


def _torchvision(name: str, rest: str) -> Path:
    models = _library("torchvision.models", "torchvision", name)
    model, _, which = rest.partition("/")
    try:
        weights = models.get_model_weights(model)
        chosen = weights[which] if which else weights.DEFAULT
    except (ValueError, KeyError) as error:
        known = ", ".join(models.list_models()) if not _known(models, model) else _listing(models, model)
        raise _wrong("E0923", f"torchvision has no weights `{rest}`", f"there are {known[:300]}") from error
    hub = _library("torch.hub", "torch", name)
    target = Path(str(hub.get_dir())) / "checkpoints" / str(chosen.url).rsplit("/", 1)[1]
    if not target.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        _download(name, lambda: hub.download_url_to_file(chosen.url, str(target), progress=False))
    return target


def _known(models: Any, model: str) -> bool:
    return model in models.list_models()


def _listing(models: Any, model: str) -> str:
    return ", ".join(f"`{model}/{item.name}`" for item in models.get_model_weights(model))


def _timm(name: str, rest: str) -> Path:
    timm = _library("timm", "timm", name)
    if not timm.is_model(rest.partition(".")[0]):
        raise _wrong("E0923", f"timm has no model `{rest}`", "`timm.list_pretrained()` names them")
    return _hub(name, f"timm/{rest}", "model.safetensors")


def _hugging_face(name: str, rest: str) -> Path:
    owner, _, repository = rest.partition("/")
    repository, _, file = repository.partition("/")
    if not owner or not repository:
        raise _wrong("E0923", f"`{name}` names no repository", "write `hf:organisation/repository`")
    return _hub(name, f"{owner}/{repository}", file or "model.safetensors")


def _hub(name: str, repository: str, file: str) -> Path:
    hub = _library("huggingface_hub", "huggingface_hub", name)
    hub.utils.logging.set_verbosity_error()  # what fails is said once, by us
    return Path(_download(name, lambda: hub.hf_hub_download(repository, file)))


def _library(module: str, package: str, name: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise _wrong("E0924", f"`{name}` needs {package}", f"pip install {package}") from error


def _download(name: str, load: Callable[[], Any]) -> Any:
    try:
        return load()
    except Exception as error:  # each library fails offline in its own way
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        help = "with internet it is fetched once and kept; else name a file: `weights: {load: FILE}`"
        raise _wrong("E0925", f"`{name}` can't be fetched: {reason}", help) from error


def _wrong(code: str, message: str, help: str) -> SpecError:
    return SpecError([Diagnostic(code, message, help=help)])
