# SPDX-License-Identifier: MIT
"""The tokenizer of conduit-tiny: byte-level BPE, cut as llama.cpp's "gpt-2" pre-tokenizer cuts.

Why our own: llama.cpp must split a prompt into exactly the tokens the model was trained on, so the
rules here are those of its `gpt-2` pre-tokenizer and nothing more; check.py compares both.

The one thing to know: only words and two-digit numbers are ever merged. Every punctuation mark,
quote, brace, newline and the space before a digit stays a token of its own, so JSON under a grammar
has one way to be written, and "7+8", "7 + 8" and "(7+8)" have the same digits in them. All 256
bytes are tokens, so any text (and any grammar) can be expressed.
"""
import collections
import re

VOCABULARY = 1536

# <|endoftext|> ends raw text, <|im_end|> a chat message. The tool marks are "user defined" tokens:
# parsed like special ones, but visible in the output, where llama-server looks for them.
SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<tool_call>", "</tool_call>"]
END_OF_TEXT, IM_START, IM_END, TOOL_CALL, TOOL_CALL_END = range(len(SPECIALS))

# GPT-2's split, with \p{L} and \p{N} said in the words of Python's re.
SPLIT = re.compile(
    r"'s|'t|'re|'ve|'m|'ll|'d| ?[^\W\d_]+| ?\d+| ?(?:[^\s\w]|_)+|\s+(?!\S)|\s+")
WORD = re.compile(r" ?[^\W\d_]+\Z")


def byte_letters():
    """GPT-2's table: every byte as one printable character, the printable ones as themselves."""
    keep = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table, extra = {}, 256
    for byte in range(256):
        table[byte] = chr(byte) if byte in keep else chr(extra)
        extra += byte not in keep
    return table


LETTERS = byte_letters()


def letters(text):
    return "".join(LETTERS[b] for b in text.encode("utf-8"))


def merge_pair(parts, pair):
    out, i = [], 0
    while i < len(parts):
        if i + 1 < len(parts) and (parts[i], parts[i + 1]) == pair:
            out.append(parts[i] + parts[i + 1])
            i += 2
        else:
            out.append(parts[i])
            i += 1
    return out


def learn_merges(counted_words, how_many):
    """Classic BPE over {word: count}; the numbers 10..99 come first. Ties break by spelling."""
    merges = [(str(a), str(b)) for a in range(1, 10) for b in range(10)]
    words = {w: list(letters(w)) for w in counted_words if WORD.match(w)}
    where, counts = collections.defaultdict(set), collections.Counter()

    def account(word, sign):
        parts = words[word]
        for pair in zip(parts, parts[1:]):
            counts[pair] += sign * counted_words[word]
            if sign > 0:
                where[pair].add(word)

    for word in words:
        account(word, 1)
    while len(merges) < how_many:
        pair, count = max(counts.items(), key=lambda item: (item[1], item[0]))
        if count <= 1:
            break
        merges.append(pair)
        for word in sorted(where.pop(pair)):
            account(word, -1)
            words[word] = merge_pair(words[word], pair)
            account(word, 1)
        del counts[pair]
    return merges


class Tokenizer:
    def __init__(self, merges):
        self.merges = merges
        self.rank = {pair: i for i, pair in enumerate(merges)}
        self.tokens = SPECIALS + [LETTERS[b] for b in range(256)]
        known = set(self.tokens)
        for a, b in merges:
            if a + b not in known:
                self.tokens.append(a + b)
                known.add(a + b)
        self.ids = {token: i for i, token in enumerate(self.tokens)}
        self.cache = {}

    def piece(self, word):
        if word not in self.cache:
            parts = list(letters(word))
            while len(parts) > 1:
                pair = min(zip(parts, parts[1:]), key=lambda p: self.rank.get(p, 1 << 30))
                if pair not in self.rank:
                    break
                parts = merge_pair(parts, pair)
            self.cache[word] = [self.ids[p] for p in parts]
        return self.cache[word]

    def encode(self, text):
        """Text without special tokens -> ids."""
        return [i for word in SPLIT.findall(text) for i in self.piece(word)]

    def decode(self, ids):
        back = {c: b for b, c in LETTERS.items()}
        data = b""
        for i in ids:
            token = self.tokens[i]
            data += token.encode() if i < len(SPECIALS) else bytes(back[c] for c in token)
        return data.decode("utf-8", "replace")


def learn_tokenizer(source, size=VOCABULARY):
    """From a sample of the conversations that `source` (a corpus.Corpus) makes."""
    counts = collections.Counter()
    for _ in range(6000):
        for _, text, _ in source.conversation(1):
            counts.update(SPLIT.findall(text))
    # Common words are capped, so that names which the sample has seldom become few tokens too.
    capped = {word: min(count, 200) for word, count in counts.items()}
    return Tokenizer(learn_merges(capped, size - len(SPECIALS) - 256))
