"""The smallest model: a function from token ids to logits, here a table of which letter follows which.

Any function will do, over numpy, torch or an endpoint of your own; logitwire does the rest.
"""

import itertools
import json
import string

import numpy as np

import logitwire as lw

LETTERS = string.ascii_lowercase
TEXT = "the line takes a token from its logits to the wire and the wire takes it to the reader".replace(" ", "")

counts = np.zeros((26, 26), dtype=np.float32)
for first, second in itertools.pairwise(TEXT):
    counts[LETTERS.index(first), LETTERS.index(second)] += 1
log_probabilities = np.log(counts + 1e-9)

tokenizer = lw.Tokenizer.from_json(
    json.dumps(
        {
            "version": "1.0",
            "added_tokens": [],
            "normalizer": None,
            "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False},
            "post_processor": None,
            "decoder": {"type": "ByteLevel"},
            "model": {"type": "BPE", "vocab": {letter: id for id, letter in enumerate(LETTERS)}, "merges": []},
        }
    )
)

for piece in lw.stream(lambda ids: log_probabilities[ids[-1]], tokenizer, "t", max_tokens=12, temperature=0):
    print(piece.text, end="")
print()
# > hethethethet
