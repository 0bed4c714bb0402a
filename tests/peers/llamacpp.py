"""llama.cpp as a peer: its tokenizer and its raw logits, by the C functions the prebuilt `xllamacpp` wheel exports.

The declarations are those of the pinned version. Of the two parameter structs only the fields used are named; their
sizes and places are checked against the library's own defaults before anything is called with them.
"""

from __future__ import annotations

import codecs
import importlib.util
from collections.abc import Sequence
from os import PathLike, fspath
from pathlib import Path

import cffi
import numpy as np
from numpy.typing import NDArray

_ffi = cffi.FFI()
_ffi.cdef("""
typedef struct { char head[72]; bool vocab_only; char tail[183]; } llama_model_params;
typedef struct {
    uint32_t n_ctx, n_batch, n_ubatch, n_seq_max, n_rs_seq, n_outputs_max, n_outputs_max_per_seq;
    int32_t n_threads, n_threads_batch;
    char tail[476];
} llama_context_params;
typedef struct {
    int32_t n_tokens; int32_t *token; float *embd; int32_t *pos; int32_t *n_seq_id; int32_t **seq_id; int8_t *logits;
} llama_batch;
void llama_backend_init(void);
void llama_log_set(void *callback, void *user_data);
llama_model_params llama_model_default_params(void);
llama_context_params llama_context_default_params(void);
void *llama_model_load_from_file(const char *path, llama_model_params params);
void llama_model_free(void *model);
void *llama_init_from_model(void *model, llama_context_params params);
void llama_free(void *context);
void *llama_model_get_vocab(void *model);
int32_t llama_vocab_n_tokens(void *vocab);
int llama_vocab_type(void *vocab);
int llama_vocab_get_attr(void *vocab, int32_t token);
llama_batch llama_batch_init(int32_t n_tokens, int32_t embd, int32_t n_seq_max);
void llama_batch_free(llama_batch batch);
int32_t llama_decode(void *context, llama_batch batch);
float *llama_get_logits(void *context);
int32_t llama_tokenize(void *vocab, const char *text, int32_t text_len, int32_t *tokens, int32_t n_tokens_max,
                       bool add_special, bool parse_special);
int32_t llama_token_to_piece(void *vocab, int32_t token, char *buffer, int32_t length, int32_t lstrip, bool special);
""")

BPE = 2  # enum llama_vocab_type
BYTE = 1 << 5  # enum llama_token_attr

# A U+FFFD for each byte that is part of no character.
codecs.register_error("each byte", lambda error: ("\ufffd" * (error.end - error.start), error.end))


def _load() -> object:
    spec = importlib.util.find_spec("xllamacpp")
    if spec is None or not spec.submodule_search_locations:
        raise ImportError("xllamacpp is not installed", name="xllamacpp")
    (library,) = Path(spec.submodule_search_locations[0]).glob("*.so")
    lib = _ffi.dlopen(str(library))
    defaults = lib.llama_context_default_params()
    if (defaults.n_ctx, defaults.n_batch, defaults.n_ubatch, defaults.n_seq_max) != (512, 2048, 512, 1):
        raise ImportError("llama_context_params is laid out differently in this version of xllamacpp")
    lib.llama_log_set(_silence, _ffi.NULL)
    lib.llama_backend_init()
    return lib


_silence = _ffi.callback("void(int, char *, void *)", lambda level, text, user_data: None)
_lib = _load()


class LlamaCpp:
    """One model file. `logits` needs the whole file, `tokenize` its vocabulary only. Close it."""

    def __init__(self, path: str | PathLike[str], *, vocab_only: bool = False) -> None:
        params = _lib.llama_model_default_params()
        params.vocab_only = vocab_only
        self._model = _lib.llama_model_load_from_file(fspath(path).encode(), params)
        if self._model == _ffi.NULL:
            raise RuntimeError(f"llama.cpp does not load {path}")
        self._vocab = _lib.llama_model_get_vocab(self._model)
        self.vocab_size = _lib.llama_vocab_n_tokens(self._vocab)
        self._marks_words = _lib.llama_vocab_type(self._vocab) != BPE
        self._has_byte_tokens = any(_lib.llama_vocab_get_attr(self._vocab, i) & BYTE for i in range(self.vocab_size))

    def close(self) -> None:
        _lib.llama_model_free(self._model)

    def encode(self, text: str, *, allow_special: bool) -> list[int]:
        return self._tokenize(text, allow_special=allow_special, add_special_tokens=False)

    def encode_whole(self, text: str) -> list[int]:
        """With the special tokens that the file says are added."""
        return self._tokenize(text, allow_special=False, add_special_tokens=True)

    def _tokenize(self, text: str, *, allow_special: bool, add_special_tokens: bool) -> list[int]:
        data = text.encode()
        ids = _ffi.new("int32_t[]", len(data) + 8)
        n = _lib.llama_tokenize(self._vocab, data, len(data), ids, len(ids), add_special_tokens, allow_special)
        if n < 0:
            raise RuntimeError(f"llama_tokenize needs room for {-n} tokens, more than there are bytes")
        return list(ids[0:n])

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool) -> str | None:
        """The pieces one after the other. None where a piece marks the beginning of a word: the first space would
        differ."""
        if self._marks_words:
            return None
        pieces = [self._piece(i, special=not skip_special_tokens) for i in ids]
        return b"".join(pieces).decode("utf-8", "each byte" if self._has_byte_tokens else "replace")

    def _piece(self, token_id: int, *, special: bool) -> bytes:
        room = 64
        while True:
            text = _ffi.new("char[]", room)
            n = _lib.llama_token_to_piece(self._vocab, token_id, text, room, 0, special)
            if n >= 0:
                return bytes(_ffi.buffer(text, n))
            room = -n

    def logits(self, token_ids: Sequence[int], *, n_threads: int = 1) -> NDArray[np.float32]:
        """(len(token_ids), vocab_size): of every position of one sequence, in one batch."""
        n = len(token_ids)
        params = _lib.llama_context_default_params()
        params.n_ctx = params.n_batch = params.n_ubatch = max(n, 32)
        params.n_threads = params.n_threads_batch = n_threads
        context = _lib.llama_init_from_model(self._model, params)
        batch = _lib.llama_batch_init(n, 0, 1)
        try:
            for i, token_id in enumerate(token_ids):
                batch.token[i], batch.pos[i], batch.logits[i] = token_id, i, 1
                batch.n_seq_id[i], batch.seq_id[i][0] = 1, 0
            batch.n_tokens = n
            if _lib.llama_decode(context, batch):
                raise RuntimeError("llama_decode failed")
            block = _ffi.buffer(_lib.llama_get_logits(context), n * self.vocab_size * 4)
            return np.frombuffer(block, np.float32).reshape(n, self.vocab_size).copy()
        finally:
            _lib.llama_batch_free(batch)
            _lib.llama_free(context)
