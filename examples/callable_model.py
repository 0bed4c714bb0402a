"""The smallest model: a function from token ids to logits, here from a table of which letter follows which.

Any function will do, over numpy, torch or an endpoint of your own; logitwire does the rest.
"""

import itertools
import string

import numpy as np

import logitwire as lw

LETTERS = string.ascii_lowercase
TEXT = "all between the logits and the wire".replace(" ", "")

counts = np.zeros((26, 26), dtype=np.float32)
for first, second in itertools.pairwise(TEXT):
    counts[LETTERS.index(first), LETTERS.index(second)] += 1
log_counts = np.log(counts + 1e-9)

vocab = lw.Vocab.from_bytes([letter.encode() for letter in LETTERS])
for piece in lw.stream(lambda ids: log_counts[ids[-1]], vocab, [LETTERS.index("l")], max_tokens=20, seed=7):
    print(piece.text, end=" ")
print(piece.finish_reason)
# > o g i r e l o g i t w i r e l b e n d t length
