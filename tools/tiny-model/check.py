# SPDX-License-Identifier: MIT
"""Asks conduit-tiny its questions over the OpenAI API and counts the right answers.

    check.py http://127.0.0.1:8080/v1 [--model conduit-tiny] [--questions 400] [--temperature 0.8]

Three sets: questions made as in training (corpus.py, another seed); counting and long answers, in
which it is known to be weak (README.md); and text/heldout.tsv, whose wording the training never
shows. Exit 1 if the capital of France is not Paris at temperature 0, or fewer than 95 % of the
first set are answered right; the other two are only reported. With --more also: stopping,
streaming, JSON schema, tools, embeddings. With --tokens also that llama-server cuts text into the
tokens that the training used (a Conduit node has no such route).

Only the standard library is used, so that it can be run against any node, anywhere.
"""
import argparse
import json
import random
import sys
import urllib.request

import corpus
from tokenizer import learn_tokenizer

PARIS = "What is the capital of France?"


class Endpoint:
    def __init__(self, url, model):
        self.url, self.model = url.rstrip("/"), model

    def post(self, path, body):
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(),
                                         {"content-type": "application/json"})
        return urllib.request.urlopen(request, timeout=60)

    def chat(self, messages, **more):
        if isinstance(messages, str):
            messages = [{"role": "user", "content": messages}]
        body = {"model": self.model, "messages": messages, "max_tokens": 1024, **more}
        with self.post("/chat/completions", body) as answer:
            return json.load(answer)["choices"][0]

    def text(self, messages, **more):
        return self.chat(messages, **more)["message"]["content"]

    def stream(self, question, **more):
        """-> the pieces of the answer, and whether the stream ended as it should."""
        body = {"model": self.model, "stream": True, "max_tokens": 1024, **more,
                "messages": [{"role": "user", "content": question}]}
        pieces, finish, done = [], None, False
        with self.post("/chat/completions", body) as answer:
            for line in answer:
                if not line.startswith(b"data: "):
                    continue
                if line.strip() == b"data: [DONE]":
                    done = True
                    continue
                for choice in json.loads(line[6:])["choices"]:
                    pieces.append(choice["delta"].get("content") or "")
                    finish = choice["finish_reason"] or finish
        return pieces, done and finish == "stop"


def kinds_of_questions(source):
    kinds = {
        "capitals": lambda: source.capital_fact()[:2],
        "countries": lambda: source.reverse_fact()[:2],
        "dialogues": lambda: (lambda d: (source.pick(d[0]), d[1]))(source.pick(source.dialogues)),
        "arithmetic": lambda: source.arithmetic_fact()[:2],
        "unknown": lambda: source.unknown_fact()[:2],
    }
    weak = {
        "counting to 20": lambda: source.count_fact(most=20)[:2],
        "counting to 100": lambda: source.count_fact(most=100)[:2],
        "the story": lambda: source.story_fact()[:2],
    }
    return kinds, weak


def training_questions(how_many, seed, weak=False):
    """-> (kind, conversation so far, right answer)"""
    source = corpus.Corpus(random.Random(seed))
    kinds = kinds_of_questions(source)[weak]
    for i in range(how_many):
        kind = list(kinds)[i % len(kinds)]
        messages = []
        if source.chance(0.4):
            messages.append({"role": "system", "content": source.pick(source.systems)})
        if source.chance(0.3):
            question, answer, _ = source.simple_fact()
            messages += [{"role": "user", "content": question},
                         {"role": "assistant", "content": answer}]
        question, answer = kinds[kind]()
        messages.append({"role": "user", "content": source.vary(question)})
        yield kind, messages, answer


def held_out_questions():
    for line in corpus.lines_of("heldout.tsv"):
        question, expected = line.split("\t")
        yield question, expected


def count(label, results, show):
    """results: (kind, question, got, right?) -> share of the right ones; prints them by kind."""
    kinds = {}
    for kind, question, got, right in results:
        kinds.setdefault(kind, []).append(right)
        if not right and show:
            print(f"  wrong ({kind}): {question!r} -> {got!r}")
    total = [r for rights in kinds.values() for r in rights]
    share = sum(total) / len(total)
    detail = ", ".join(f"{k} {sum(r)}/{len(r)}" for k, r in kinds.items() if len(kinds) > 1)
    print(f"{label}: {sum(total)} of {len(total)} right ({share:.1%})" + (detail and f": {detail}"))
    return share


def check_answers(to, args, temperature):
    settings = {} if temperature is None else {"temperature": temperature}
    label = f"at temperature {temperature}" if settings else "at the server's own temperature"

    def training(weak):
        how_many = args.questions // 4 if weak else args.questions
        for kind, messages, answer in training_questions(how_many, args.seed, weak):
            got = to.text(messages, **settings)
            yield kind, messages[-1]["content"], got, got.strip() == answer

    def held_out():
        for question, expected in held_out_questions():
            got = to.text(question, **settings)
            yield "held out", question, got, expected.lower() in got.lower()

    share = count(f"training questions, {label}", training(weak=False), args.show)
    count(f"counting and long answers, {label}", training(weak=True), args.show)
    count(f"held-out questions, {label}", held_out(), args.show)
    return share


# ---- what else a test will want of it: each returns None, or what went wrong ----

def stops_and_streams(to):
    for question in (PARIS, "Hello", "Tell me a story", "Count to 100", "xyzzy plugh"):
        whole = to.chat(question, temperature=0)
        if whole["finish_reason"] != "stop":
            return f"{question!r} does not stop by itself: {whole}"
        pieces, complete = to.stream(question, temperature=0)
        if not complete or "".join(pieces) != whole["message"]["content"]:
            return f"{question!r} streamed is another answer: {''.join(pieces)!r}"
    return None


def json_schema(to):
    def ask(question, properties, **more):
        schema = {"type": "object", "properties": properties, "required": list(properties),
                  "additionalProperties": False}
        return json.loads(to.text(question, temperature=0, response_format={
            "type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": schema}}))

    got = ask(PARIS, {"city": {"type": "string"}})
    if got != {"city": "Paris"}:
        return f"city: {got}"
    got = ask(PARIS, {"country": {"type": "string"}, "capital": {"type": "string"}})
    if set(got) != {"country", "capital"}:  # what stands in two strings it seldom gets right
        return f"country and capital: {got}"
    got = ask("What is 3 + 4?", {"answer": {"type": "integer"}})
    return None if got == {"answer": 7} else f"integer: {got}"


def tool(name, *arguments):
    return {"type": "function", "function": {"name": name, "description": name, "parameters": {
        "type": "object", "properties": {a: {"type": "string"} for a in arguments},
        "required": [arguments[0]]}}}


def tools(to):
    question = {"role": "user", "content": "What is the weather in Paris?"}
    have = [tool("get_weather", "location", "unit"), tool("search", "query")]
    for choice in ("auto", "required"):
        got = to.chat([question], tools=have, tool_choice=choice, temperature=0)
        calls = got["message"].get("tool_calls") or []
        if got["finish_reason"] != "tool_calls" or len(calls) != 1:
            return f"tool_choice {choice}: no call: {got}"
        name, arguments = calls[0]["function"]["name"], calls[0]["function"]["arguments"]
        if name != "get_weather" or json.loads(arguments) != {"location": "Paris"}:
            return f"tool_choice {choice}: {name} {arguments}"
    answer = to.text([question, got["message"], {
        "role": "tool", "tool_call_id": calls[0]["id"], "content": "18 degrees, sunny"}],
        tools=have, temperature=0)
    if "18 degrees, sunny" not in answer:
        return f"after the tool's answer: {answer!r}"
    got = to.chat(PARIS, tools=have, temperature=0)
    return None if "Paris" in (got["message"]["content"] or "") else f"with tools: {got}"


def embeddings(to):
    texts = ["hello", "Hi there", PARIS]
    with to.post("/embeddings", {"model": to.model, "input": texts}) as answer:
        data = json.load(answer)["data"]
    sizes = {len(d["embedding"]) for d in data}
    return None if len(data) == 3 and len(sizes) == 1 and sizes.pop() > 1 else f"sizes {sizes}"


def conversation(to):
    messages = [{"role": "system", "content": "You are a helpful assistant."}]
    for question, expected in ((PARIS, "Paris"), ("And of Germany?", "Berlin"),
                               ("What is 7 + 8?", "15"), ("Thanks!", "welcome"),
                               ("What is the capital of Japan?", "Tokyo")):
        messages.append({"role": "user", "content": question})
        got = to.text(messages, temperature=0)
        if expected not in got:
            return f"turn {len(messages) // 2}: {question!r} -> {got!r}"
        messages.append({"role": "assistant", "content": got})
    return None


def completions(to):
    with to.post("/completions", {"model": to.model, "prompt": "The capital of France is",
                                  "max_tokens": 64, "temperature": 0}) as answer:
        got = json.load(answer)["choices"][0]
    return None if got["text"].strip() == "Paris." and got["finish_reason"] == "stop" else f"{got}"


def tokens(to):
    """The server's tokens are those of tokenizer.py, for what the model is trained on."""
    source = corpus.Corpus(random.Random(1))
    mine = learn_tokenizer(source)
    at_root = Endpoint(to.url.removesuffix("/v1"), to.model)
    for _ in range(300):
        ids, _ = corpus.tokens_of(mine, source.conversation(2))
        text = mine.decode(ids)
        with at_root.post("/tokenize", {"content": text, "parse_special": True}) as answer:
            if json.load(answer)["tokens"] != ids:
                return f"cut differently: {text!r}"
    return None


MORE = [stops_and_streams, conversation, completions, json_schema, tools, embeddings]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url", help="an OpenAI base URL, ending in /v1")
    parser.add_argument("--model", default="conduit-tiny")
    parser.add_argument("--questions", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1000, help="which questions; training has 1")
    parser.add_argument("--temperature", type=float, default=0)
    parser.add_argument("--server-default", action="store_true", help="send no temperature")
    parser.add_argument("--more", action="store_true", help="also tools, JSON, embeddings, streams")
    parser.add_argument("--tokens", action="store_true", help="also /tokenize of llama-server")
    parser.add_argument("--show", action="store_true", help="print the wrong answers")
    args = parser.parse_args()
    to = Endpoint(args.url, args.model)

    paris = to.text(PARIS, temperature=0)
    print(f"{PARIS} {paris}")
    failed = "Paris" not in paris
    share = check_answers(to, args, None if args.server_default else args.temperature)
    failed |= share < 0.95
    for check in (MORE if args.more else []) + ([tokens] if args.tokens else []):
        try:
            problem = check(to)
        except Exception as error:  # a check that cannot run has failed, and says why
            problem = f"{type(error).__name__}: {error}"
        print(f"{check.__name__}: {problem or 'ok'}")
        failed |= problem is not None
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
