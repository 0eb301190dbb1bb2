# SPDX-License-Identifier: MIT
"""GGUF files made from GGUF files, for the tests: a model split into several, and an adapter that changes
nothing. The format: docs of ggml (GGUF version 3, little endian). Standard library only."""
import struct

UINT16, INT32, UINT32, FLOAT32, STRING, ARRAY = 2, 5, 4, 6, 8, 9
SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
ALIGN = 32


class Cursor:
    def __init__(self, data):
        self.d, self.at = data, 0

    def take(self, fmt):
        v = struct.unpack_from("<" + fmt, self.d, self.at)
        self.at += struct.calcsize("<" + fmt)
        return v[0] if len(v) == 1 else v

    def string(self):
        n = self.take("Q")
        self.at += n
        return self.d[self.at - n:self.at]

    def skip(self, kind):
        if kind == STRING:
            self.string()
        elif kind == ARRAY:
            of, n = self.take("IQ")
            for _ in range(n):
                self.skip(of)
        else:
            self.at += SIZES[kind]


def text(s):
    s = s.encode() if isinstance(s, str) else s
    return struct.pack("<Q", len(s)) + s


def key(name, kind, value):
    fmt = {UINT16: "H", INT32: "i", UINT32: "I", FLOAT32: "f"}.get(kind)
    return text(name) + struct.pack("<I", kind) + (struct.pack("<" + fmt, value) if fmt else text(value))


def padded(data):
    return data + bytes(-len(data) % ALIGN)


class Model:
    """What a file says: its keys as raw bytes, and (name, dims, type, data) of its tensors."""

    def __init__(self, path):
        c = Cursor(open(path, "rb").read())
        assert c.take("4sI") == (b"GGUF", 3)
        n_tensors, n_keys = c.take("QQ")
        start = c.at
        self.architecture, self.n_keys = None, n_keys
        for _ in range(n_keys):
            name, kind = c.string(), c.take("I")
            at = c.at
            c.skip(kind)
            if name == b"general.architecture":
                self.architecture = c.d[at + 8:c.at].decode()
        self.keys = c.d[start:c.at]
        infos = []
        for _ in range(n_tensors):
            name, dims = c.string(), [c.take("Q") for _ in range(c.take("I"))]
            infos.append((name, dims, *c.take("IQ")))
        base = c.at + -c.at % ALIGN
        ends = sorted([i[3] for i in infos] + [len(c.d) - base])
        self.tensors = [(name, dims, kind, c.d[base + off:base + ends[ends.index(off) + 1]])
                        for name, dims, kind, off in infos]


def write(path, keys, n_keys, tensors):
    infos, data = b"", b""
    for name, dims, kind, raw in tensors:
        infos += text(name) + struct.pack("<I", len(dims)) + b"".join(struct.pack("<Q", d) for d in dims)
        infos += struct.pack("<IQ", kind, len(data))
        data += padded(raw)
    head = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), n_keys) + keys + infos
    with open(path, "wb") as f:
        f.write(padded(head) + data)


def split(src, stem, parts):
    """stem-00001-of-0000N.gguf and so on, as llama-gguf-split makes them; their paths."""
    m, paths = Model(src), []
    per = -(-len(m.tensors) // parts)
    for i in range(parts):
        mine = m.tensors[i * per:(i + 1) * per]
        own = key("split.no", UINT16, i) + key("split.count", UINT16, parts) + \
            key("split.tensors.count", INT32, len(m.tensors))
        paths.append(f"{stem}-{i + 1:05}-of-{parts:05}.gguf")
        write(paths[-1], m.keys + own if i == 0 else own, m.n_keys + 3 if i == 0 else 3, mine)
    return paths


def idle_adapter(src, path, rank=4):
    """A LoRA adapter whose matrices are zero: it loads, and the answers stay the same."""
    m = Model(src)
    keys = key("general.type", STRING, "adapter") + key("general.architecture", STRING, m.architecture) + \
        key("adapter.type", STRING, "lora") + key("adapter.lora.alpha", FLOAT32, 8.0)
    tensors = []
    for name, dims, _, _ in m.tensors:
        if name.endswith(b"attn_q.weight"):
            tensors.append((name + b".lora_a", [dims[0], rank], 0, bytes(4 * dims[0] * rank)))
            tensors.append((name + b".lora_b", [rank, dims[1]], 0, bytes(4 * dims[1] * rank)))
    write(path, keys, 4, tensors)
    return path
