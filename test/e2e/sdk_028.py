# SPDX-License-Identifier: MIT
"""What a program with the OpenAI SDK 0.28 (that of LlamaNet's README) does beside the README's own examples: run
by test_sdk.py with that SDK's interpreter, as sdk_py.py is. There is one more case, `readme`, which is the text
of LlamaNet's README itself and lives in test_sdk.py."""
import json, os
import openai
from openai import error

CASES = []
FRANCE = [{"role": "user", "content": "What is the capital of France?"}]


def case(f):
    CASES.append(f)
    return f


@case
def tiny_chat():
    r = openai.ChatCompletion.create(model="conduit-tiny", messages=FRANCE, temperature=0)
    assert "Paris" in r.choices[0].message.content and r["usage"]["total_tokens"] > 0, r


@case
def tiny_chat_streams():
    text = ""
    for chunk in openai.ChatCompletion.create(model="llamanet", messages=FRANCE, temperature=0, stream=True):
        text += chunk.choices[0].delta.get("content") or ""
    assert "Paris" in text, text


@case
def tiny_models():
    assert "conduit-tiny" in [m.id for m in openai.Model.list().data]
    assert openai.Model.retrieve("conduit-tiny").id == "conduit-tiny"


@case
def tiny_embeddings():
    # Left to itself this SDK asks for base64 and then wants NumPy to read it: sdk_py.py has that case.
    r = openai.Embedding.create(model="conduit-tiny", input="hello", encoding_format="float")
    assert len(r.data[0].embedding) == 128, r


@case
def scripted_functions_in_the_old_spelling():
    functions = [{"name": "get_weather", "parameters": {"type": "object", "properties": {}}}]
    r = openai.ChatCompletion.create(model="echo-request", messages=FRANCE, functions=functions, function_call="auto")
    got = json.loads(r.choices[0].message.content)
    assert got["functions"] == functions and got["function_call"] == "auto", got


@case
def scripted_errors_have_their_class():
    for model, kind in (("no-such-model", error.InvalidRequestError), ("error-string", error.InvalidRequestError),
                        ("error-429", error.RateLimitError), ("garbage", error.APIError)):
        try:
            openai.ChatCompletion.create(model=model, messages=FRANCE)
        except kind as e:
            assert e.user_message, e
        else:
            raise AssertionError(f"{model}: no {kind.__name__}")


@case
def scripted_an_error_in_the_middle_is_raised():
    got = []
    try:
        for x in openai.ChatCompletion.create(model="error-mid", messages=FRANCE, stream=True):
            got.append(x.choices[0].delta.get("content"))
    except error.OpenAIError:
        assert "Par" in got
    else:
        raise AssertionError(f"no error after {got}")


def main():
    openai.api_key = "dummy-key"
    for f in CASES:
        name = f.__name__
        openai.api_base = os.environ.get("TINY" if name.startswith("tiny_") else "SCRIPTED")
        if not openai.api_base:
            print(f"skip {name}: {os.environ.get('WHY', 'not asked for')}", flush=True)
            continue
        try:
            f()
            print(f"ok {name}", flush=True)
        except Exception as e:
            print(f"FAIL {name}: {type(e).__name__}: {e}".replace("\n", " ")[:1500], flush=True)


if __name__ == "__main__":
    main()
