"""A serving loop of your own: requests join and leave a running batch, and one call a step does all but the model.

The model here is the embedded one (`logitwire pull`); yours need only give a row of logits for each request.
"""

from collections import deque

import logitwire as lw

model = lw.models.load("smollm2")
batch = lw.Batch(model.tokenizer.vocab, vocab_size=model.vocab_size)
waiting = deque(["The capital of France is", "The capital of Japan is", "The opposite of hot is"])
texts = {}
running = {}  # slot -> (prompt, cache, the token ids the model has not seen yet)

while waiting or running:
    # Two at once; the third joins between two steps of the other when a slot is free.
    while waiting and len(running) < 2:
        prompt = waiting.popleft()
        ids = model.tokenizer.encode(prompt)
        slot = batch.add(lw.SamplingParams(temperature=0), ids, max_tokens=16, stop=["."], include_stop=True)
        running[slot] = prompt, model.new_cache(), ids
        texts[prompt] = prompt

    slots = list(running)
    logits = model.forward([(cache, ids) for _, cache, ids in running.values()])  # (len(slots), vocab_size)
    out = batch.step(logits, slots)

    for row, slot in enumerate(slots):
        prompt, cache, _ = running[slot]
        texts[prompt] += out.text[out.text_offsets[row] : out.text_offsets[row + 1]].decode()
        if out.finish[row] == lw.FinishReason.RUNNING:
            running[slot] = prompt, cache, [int(out.tokens[row])]
        else:
            batch.remove(slot)
            del running[slot]

for text in texts.values():
    print(text)
# > The capital of France is Paris.
# > The capital of Japan is Tokyo.
# > The opposite of hot is cold.
