"""Between a server and its clients: read an event stream cut anywhere, look at each event, and write it on.

`upstream` stands for the chunks an HTTP client hands out; `relay` is what a proxy would do with them.
"""

import json
from collections.abc import Iterable, Iterator

import logitwire as lw


def upstream() -> Iterator[bytes]:
    framer = lw.sse.Framer("chat", id="chatcmpl-1", model="upstream", created=0)
    pieces = [framer.text(text) for text in ("Good", " morning", " 🙂")]
    stream = b"".join([framer.start(), *pieces, framer.finish("stop"), lw.sse.DONE])
    for start in range(0, len(stream), 50):
        yield stream[start : start + 50]


def relay(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same stream under another model's name."""
    parser = lw.sse.Parser()
    for chunk in chunks:
        for event in parser.feed(chunk):
            if event.data == "[DONE]":
                yield lw.sse.DONE
                return
            body = json.loads(event.data)
            body["model"] = "ours"
            yield lw.sse.frame(json.dumps(body, ensure_ascii=False))
    # The connection ended without [DONE]: it broke, and must not look like a stream that ended well.
    yield lw.sse.frame('{"error": {"message": "the upstream broke off", "type": "server_error"}}')


for frame in relay(upstream()):
    data = frame.decode().removeprefix("data: ").strip()
    if data == "[DONE]":
        print("done")
    else:
        body = json.loads(data)
        print(body["model"], body["choices"][0]["delta"], body["choices"][0]["finish_reason"])
# > ours {'role': 'assistant', 'content': ''} None
# > ours {'content': 'Good'} None
# > ours {'content': ' morning'} None
# > ours {'content': ' 🙂'} None
# > ours {} stop
# > done
