# SPDX-License-Identifier: MIT
"""What a Python program with the current OpenAI SDK does with a node: run by test_sdk.py, which starts the
nodes, with the SDK's own interpreter. One line of output for each case.

Cases called tiny_… are answered by conduit-tiny in a real llama-server. Cases called scripted_… want what that
model cannot be relied on for (errors, a call of two tools, a stream that never ends), so their provider has the
scripted backend of backend.py. Both go through two nodes."""
import asyncio, json, os, sys, time, urllib.request
import openai
from pydantic import BaseModel

CASES = []
FRANCE = [{"role": "user", "content": "What is the capital of France?"}]
WEATHER = {"type": "function", "function": {
    "name": "get_weather", "description": "The weather in a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}


def case(f):
    CASES.append(f)
    return f


def client(url, **kw):
    return openai.OpenAI(base_url=url, api_key="unused", max_retries=0, timeout=60, **kw)


def backend(method, path):
    r = urllib.request.Request(os.environ["BACKEND"] + path, method=method, data=b"{}" if method == "POST" else None)
    return json.loads(urllib.request.urlopen(r, timeout=10).read())


@case
def tiny_models_are_listed_and_retrieved(c):
    assert "conduit-tiny" in [m.id for m in c.models.list()]
    m = c.models.retrieve("conduit-tiny")
    assert m.id == "conduit-tiny" and m.object == "model" and isinstance(m.created, int), m


@case
def tiny_chat(c):
    r = c.chat.completions.create(model="conduit-tiny", messages=FRANCE, temperature=0)
    assert "Paris" in r.choices[0].message.content and r.choices[0].finish_reason == "stop", r
    assert r.usage.total_tokens == r.usage.prompt_tokens + r.usage.completion_tokens > 0
    assert r._request_id and r.object == "chat.completion" and r.model == "conduit-tiny"


@case
def tiny_chat_streams(c):
    s = c.chat.completions.create(model="conduit-tiny", messages=FRANCE, temperature=0, stream=True,
                                  stream_options={"include_usage": True})
    chunks = list(s)
    text = [x.choices[0].delta.content for x in chunks if x.choices and x.choices[0].delta.content]
    assert "Paris" in "".join(text) and len(text) >= 2, text
    assert len({x.id for x in chunks}) == 1 and chunks[-1].choices == [] and chunks[-1].usage.completion_tokens > 0
    assert [x.choices[0].finish_reason for x in chunks if x.choices and x.choices[0].finish_reason] == ["stop"]


@case
def tiny_stream_helper_accumulates(c):
    with c.chat.completions.stream(model="conduit-tiny", messages=FRANCE, temperature=0) as s:
        kinds = {e.type for e in s}
        final = s.get_final_completion()
    assert "content.delta" in kinds and "content.done" in kinds and "Paris" in final.choices[0].message.content, kinds


@case
def tiny_chat_remembers_the_conversation(c):
    r = c.chat.completions.create(model="conduit-tiny", temperature=0, max_completion_tokens=40, messages=[
        {"role": "system", "content": "You are a helpful assistant."}, {"role": "user", "content": "Hello!"},
        {"role": "assistant", "content": "Hello! How can I help you?"}, *FRANCE])
    assert "Paris" in r.choices[0].message.content, r


@case
def tiny_tool_call(c):
    r = c.chat.completions.create(model="conduit-tiny", temperature=0, tools=[WEATHER],
                                  messages=[{"role": "user", "content": "What is the weather in Paris?"}])
    call = r.choices[0].message.tool_calls[0]
    assert call.function.name == "get_weather" and "Paris" in json.loads(call.function.arguments).values(), r
    assert call.id and r.choices[0].finish_reason == "tool_calls"


@case
def tiny_tool_call_streams(c):
    with c.chat.completions.stream(model="conduit-tiny", temperature=0, tools=[WEATHER], messages=[
            {"role": "user", "content": "What is the weather in Paris?"}]) as s:
        final = s.get_final_completion()
    call = final.choices[0].message.tool_calls[0]
    assert call.function.name == "get_weather" and "Paris" in json.loads(call.function.arguments).values(), final
    assert final.choices[0].finish_reason == "tool_calls"


@case
def tiny_json_schema_is_parsed(c):
    class Answer(BaseModel):
        capital: str

    r = c.chat.completions.parse(model="conduit-tiny", messages=FRANCE, temperature=0, max_tokens=60,
                                 response_format=Answer)
    assert isinstance(r.choices[0].message.parsed, Answer) and r.choices[0].message.parsed.capital, r


@case
def tiny_logprobs(c):
    r = c.chat.completions.create(model="conduit-tiny", messages=FRANCE, temperature=0, logprobs=True, top_logprobs=2)
    first = r.choices[0].logprobs.content[0]
    assert first.logprob <= 0 and len(first.top_logprobs) == 2, first


@case
def tiny_embeddings_default_is_base64_of_the_same_floats(c):
    a = c.embeddings.create(model="conduit-tiny", input=["hello", "Paris"])
    b = c.embeddings.create(model="conduit-tiny", input=["hello", "Paris"], encoding_format="float")
    assert [d.index for d in a.data] == [0, 1] and len(a.data[0].embedding) == len(b.data[0].embedding) == 128
    for x, y in zip(a.data, b.data):
        assert max(abs(p - q) for p, q in zip(x.embedding, y.embedding)) < 1e-3
    assert any(abs(p - q) > 1e-3 for p, q in zip(a.data[0].embedding, a.data[1].embedding)), "all alike"
    assert a.usage.prompt_tokens > 0


@case
def tiny_legacy_completions(c):
    r = c.completions.create(model="conduit-tiny", prompt="The capital of France is", max_tokens=4, temperature=0)
    assert r.object == "text_completion" and r.choices[0].finish_reason in ("length", "stop"), r
    s = c.completions.create(model="conduit-tiny", prompt="The capital of France is", max_tokens=4, temperature=0, stream=True)
    assert "".join(x.choices[0].text for x in s if x.choices) == r.choices[0].text, r


@case
def tiny_many_at_once_by_the_async_client(c):
    async def ask():
        async with openai.AsyncOpenAI(base_url=str(c.base_url), api_key="unused", max_retries=0, timeout=60) as a:
            async def one(stream):
                r = await a.chat.completions.create(model="conduit-tiny", messages=FRANCE, temperature=0, stream=stream)
                if not stream:
                    return r.choices[0].message.content
                return "".join([x.choices[0].delta.content or "" async for x in r if x.choices])
            return await asyncio.gather(*[one(i % 2 == 0) for i in range(8)])
    texts = asyncio.run(ask())
    assert len(texts) == 8 and all("Paris" in t for t in texts), texts


@case
def tiny_a_cancelled_stream_leaves_room_for_the_next(c):
    for _ in range(4):
        s = c.chat.completions.create(model="conduit-tiny", messages=FRANCE, stream=True, max_tokens=100000,
                                      extra_body={"ignore_eos": True})
        next(iter(s))
        s.close()
    start = time.monotonic()
    tiny_chat(c)
    assert time.monotonic() - start < 20


@case
def scripted_tool_calls_in_pieces(c):
    for model in ("tools", "tools-no-index", "tools-stop"):
        with c.chat.completions.stream(model=model, tools=[WEATHER], messages=FRANCE) as s:
            final = s.get_final_completion().choices[0]
        assert final.finish_reason == "tool_calls", (model, final)
        assert json.loads(final.message.tool_calls[0].function.arguments) == {"city": "Paris"}, (model, final)


@case
def scripted_tool_results_and_every_field_arrive(c):
    messages = [*FRANCE,
                {"role": "assistant", "content": None, "tool_calls": [
                    {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city":"Paris"}'}}]},
                {"role": "tool", "tool_call_id": "call_1", "content": "sunny"}]
    fields = {"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "get_weather"}},
              "parallel_tool_calls": False, "seed": 42, "stop": ["\n"], "top_p": 0.25, "presence_penalty": 0.5,
              "logit_bias": {"7": -100}, "reasoning_effort": "low", "user": "somebody", "metadata": {"k": "v"}}
    r = c.chat.completions.create(model="echo-request", messages=messages, extra_body={"top_k": 3}, **fields)
    got = json.loads(r.choices[0].message.content)
    assert got == {"model": "echo-request", "messages": messages, "top_k": 3, **fields}, got
    assert r.choices[0].message.reasoning_content == "because" and r.system_fingerprint == "fp"


@case
def scripted_json_schema(c):
    class Answer(BaseModel):
        city: str

    assert c.chat.completions.parse(model="json-schema", messages=FRANCE,
                                    response_format=Answer).choices[0].message.parsed == Answer(city="Paris")


@case
def scripted_embeddings(c):
    assert c.embeddings.create(model="ok", input="hello").data[0].embedding == [0.5, -1.0, 0.25]


def raises(kind, call):
    try:
        call()
    except kind as e:
        assert type(e) is kind, (kind, e)
        return e
    raise AssertionError(f"no {kind.__name__}")


@case
def scripted_errors_have_their_class(c):
    ask = lambda model: lambda: c.chat.completions.create(model=model, messages=FRANCE)
    e = raises(openai.NotFoundError, ask("no-such-model"))
    assert e.code == "model_not_found" and e.type == "invalid_request_error" and "no-such-model" in e.message, e
    assert raises(openai.NotFoundError, lambda: c.models.retrieve("no/such:model")).code == "model_not_found"
    assert raises(openai.RateLimitError, ask("error-429")).response.headers["retry-after"]
    assert raises(openai.BadRequestError, ask("error-string")).message
    for model in ("garbage", "html", "half-json", "nothing"):
        assert raises(openai.InternalServerError, ask(model)).status_code == 502, model
    e = raises(openai.BadRequestError, lambda: c.post("/chat/completions", cast_to=object, body=[1, 2]))
    assert e.request_id, "an error names its request"


@case
def scripted_an_error_in_the_middle_is_raised(c):
    for model in ("error-mid", "no-finish"):
        got = []

        def read():
            for x in c.chat.completions.create(model=model, messages=FRANCE, stream=True):
                got.append(x.choices[0].delta.content)
        e = raises(openai.APIError, read)
        assert e.message and "Par" in got, (model, e, got)


@case
def scripted_a_closed_stream_cancels_at_the_backend(c):
    backend("POST", "/_reset")
    s = c.chat.completions.create(model="never-ends", messages=FRANCE, stream=True)
    it = iter(s)
    assert [next(it) for _ in range(3)]
    s.close()
    gone_within(5)


@case
def scripted_a_timeout_of_the_client_cancels_at_the_backend(c):
    backend("POST", "/_reset")
    raises(openai.APITimeoutError,
           lambda: c.with_options(timeout=1).chat.completions.create(model="stall-before-head", messages=FRANCE, stream=True))
    gone_within(5)


def gone_within(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if any(r["gone"] for r in backend("GET", "/_seen")):
            return
        time.sleep(0.05)
    raise AssertionError("the backend was not told")


def main():
    for f in CASES:
        name = f.__name__
        url = os.environ.get("TINY" if name.startswith("tiny_") else "SCRIPTED")
        if not url:
            print(f"skip {name}: {os.environ.get('WHY', 'not asked for')}", flush=True)
            continue
        try:
            with client(url) as c:
                f(c)
            print(f"ok {name}", flush=True)
        except Exception as e:
            at = e.__traceback__
            while at.tb_next and at.tb_next.tb_frame.f_code.co_filename == __file__:
                at = at.tb_next
            print(f"FAIL {name}: line {at.tb_lineno}: {type(e).__name__}: {e}".replace("\n", " ")[:1500], flush=True)


if __name__ == "__main__":
    main()
