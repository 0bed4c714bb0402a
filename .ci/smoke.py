"""A wheel just installed beside numpy and nothing else: each station once, and the line against the stations.

Run with warnings as errors. What is tested here is that the build works with this Python and this numpy; what the
stations must do is tested in tests/.
"""

import contextlib
import io
import json
import platform
import sys

import numpy as np

import logitwire as lw
from logitwire.cli import main

vocab = lw.Vocab.from_bytes([b"a", b"\xf0\x9f", b"\x99\x82", b"END", b"<eos>"], special_ids=[4], eos_ids=[4])
detokenizer = vocab.detokenizer()
assert [detokenizer.step(id) for id in (0, 1, 2)] == ["a", "", "🙂"]
assert lw.StopMatcher(["END"]).feed("the END") == ("the ", "END")
assert [event.data for event in lw.sse.Parser().feed(lw.sse.frame("one\ntwo"))] == ["one\ntwo"]
assert lw.ChatTemplate("{{ messages[0].content }}").render([{"role": "user", "content": "hi"}]) == "hi"

logits = np.random.default_rng(0).standard_normal((3, len(vocab))).astype(np.float32)
for array in (logits, logits.astype(np.float16), logits[::-1], np.asfortranarray(logits).T.copy().T[:1].copy()):
    rows = range(len(array))
    params = [lw.SamplingParams(temperature=0.8, top_k=3, top_p=0.9, seed=row) for row in rows]
    batch, sampler = lw.Batch(vocab), lw.Sampler(len(vocab), vocab=vocab)
    line = batch.step(array, [batch.add(p, max_tokens=4, stop=["END"]) for p in params])
    alone = sampler.step(array, [sampler.add(p) for p in params])
    assert line.tokens.tolist() == alone.tokens.tolist()
    assert line.tokens.dtype == np.int32

read_only = logits.copy()
read_only.flags.writeable = False
mask = np.array([[1 << 3]] * 3, dtype=np.int32)
slots = [sampler.add(lw.SamplingParams(seed=row)) for row in range(3)]
assert sampler.step(read_only, slots, mask=mask).tokens.tolist() == [3, 3, 3]
try:
    lw.apply_mask(read_only, mask)
except lw.errors.ArrayError:
    pass
else:
    raise AssertionError("a read-only array was written to")

one_hot = np.eye(len(vocab), dtype=np.float32) * 10
completion = lw.generate(lambda ids: one_hot[ids[-1] + 1], vocab, [0], max_tokens=8, temperature=0, stop=["D"])
assert (completion.text, completion.finish_reason, completion.stop) == ("🙂EN", "stop", "D")

byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
tokenizer = lw.Tokenizer.from_json(
    json.dumps(
        {
            "version": "1.0",
            "added_tokens": [],
            "normalizer": None,
            "pre_tokenizer": byte_level,
            "post_processor": None,
            "decoder": byte_level,
            "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]},
        }
    )
)
assert tokenizer.encode("abab") == [2, 2]
assert tokenizer.decode([2, 0]) == "aba"

with contextlib.redirect_stderr(io.StringIO()) as said:
    assert main(["doctor"]) == 1
assert "logitwire[cli]" in said.getvalue()
assert not {"torch", "click", "starlette"} & set(sys.modules)

print(f"CPython {platform.python_version()}, numpy {np.__version__}: logitwire {lw.__version__} works")
