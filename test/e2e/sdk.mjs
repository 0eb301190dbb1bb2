// SPDX-License-Identifier: MIT
/* What a JavaScript program with the current OpenAI SDK does with a node: run by test_sdk.py, as
 * sdk_py.py is, whose head says what tiny_… and scripted_… mean. One line of output for each case. */
import assert from 'node:assert/strict'
import OpenAI from 'openai'

const FRANCE = [{ role: 'user', content: 'What is the capital of France?' }]
const WEATHER = {
  type: 'function',
  function: {
    name: 'get_weather',
    description: 'The weather in a city',
    parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  },
}
const model = 'conduit-tiny'

async function backend(method, path) {
  const r = await fetch(process.env.BACKEND + path, { method, body: method === 'POST' ? '{}' : undefined })
  return r.json()
}

async function goneWithin(ms) {
  for (const end = Date.now() + ms; Date.now() < end; await new Promise((r) => setTimeout(r, 50))) {
    if ((await backend('GET', '/_seen')).some((r) => r.gone)) return
  }
  assert.fail('the backend was not told')
}

const cases = {
  async tiny_models_are_listed_and_retrieved(c) {
    const ids = []
    for await (const m of c.models.list()) ids.push(m.id)
    assert(ids.includes(model), ids)
    assert.equal((await c.models.retrieve(model)).id, model)
  },

  async tiny_chat(c) {
    const r = await c.chat.completions.create({ model, messages: FRANCE, temperature: 0 })
    assert.match(r.choices[0].message.content, /Paris/)
    assert.equal(r.choices[0].finish_reason, 'stop')
    assert(r.usage.completion_tokens > 0 && r._request_id)
  },

  async tiny_chat_streams(c) {
    const s = await c.chat.completions.create({
      model, messages: FRANCE, temperature: 0, stream: true, stream_options: { include_usage: true },
    })
    const chunks = []
    for await (const x of s) chunks.push(x)
    const text = chunks.map((x) => x.choices[0]?.delta?.content ?? '').filter(Boolean)
    assert.match(text.join(''), /Paris/)
    assert(text.length >= 2 && chunks.at(-1).usage.completion_tokens > 0)
  },

  async tiny_stream_helper_accumulates(c) {
    const s = c.chat.completions.stream({ model, messages: FRANCE, temperature: 0 })
    assert.match(await s.finalContent(), /Paris/)
  },

  async tiny_tools_are_run(c) {
    const asked = []
    const tool = structuredClone(WEATHER)
    tool.function.parse = JSON.parse
    tool.function.function = ({ city }) => { asked.push(city); return 'It is sunny.' }
    const r = c.chat.completions.runTools({
      model, temperature: 0, tools: [tool],
      messages: [{ role: 'user', content: 'What is the weather in Paris?' }],
    }, { maxChatCompletions: 3 })
    assert.match(await r.finalContent(), /sunny/i)
    assert.deepEqual(asked, ['Paris'])
  },

  async tiny_json_schema(c) {
    const schema = {
      type: 'object', properties: { capital: { type: 'string' } }, required: ['capital'], additionalProperties: false,
    }
    const r = await c.chat.completions.create({
      model, messages: FRANCE, temperature: 0, max_tokens: 60,
      response_format: { type: 'json_schema', json_schema: { name: 'answer', strict: true, schema } },
    })
    assert.deepEqual(Object.keys(JSON.parse(r.choices[0].message.content)), ['capital'])
  },

  async tiny_embeddings_default_is_base64_of_the_same_floats(c) {
    const a = await c.embeddings.create({ model, input: ['hello', 'Paris'] })
    const b = await c.embeddings.create({ model, input: ['hello', 'Paris'], encoding_format: 'float' })
    assert.equal(a.data.length, 2)
    assert.equal(a.data[0].embedding.length, 128)
    a.data[1].embedding.forEach((x, i) => assert(Math.abs(x - b.data[1].embedding[i]) < 1e-3))
  },

  async scripted_tool_calls_in_pieces(c) {
    for (const m of ['tools', 'tools-no-index', 'tools-stop']) {
      const s = c.chat.completions.stream({ model: m, tools: [WEATHER], messages: FRANCE })
      const r = await s.finalChatCompletion()
      assert.equal(r.choices[0].finish_reason, 'tool_calls', m)
      assert.deepEqual(JSON.parse(r.choices[0].message.tool_calls[0].function.arguments), { city: 'Paris' }, m)
    }
  },

  async scripted_embeddings(c) {
    const r = await c.embeddings.create({ model: 'ok', input: 'hello' })
    assert.deepEqual(Array.from(r.data[0].embedding), [0.5, -1, 0.25])
  },

  async scripted_errors_have_their_class(c) {
    const ask = (m) => c.chat.completions.create({ model: m, messages: FRANCE })
    await assert.rejects(ask('no-such-model'), (e) =>
      e instanceof OpenAI.NotFoundError && e.code === 'model_not_found' && !!e.requestID && /no-such-model/.test(e.message))
    await assert.rejects(ask('error-429'), (e) => e instanceof OpenAI.RateLimitError && e.headers.has('retry-after'))
    await assert.rejects(ask('error-string'), OpenAI.BadRequestError)
    for (const m of ['garbage', 'html', 'nothing']) await assert.rejects(ask(m), (e) => e.status === 502, m)
  },

  async scripted_an_error_in_the_middle_is_thrown(c) {
    for (const m of ['error-mid', 'no-finish']) {
      let text = ''
      await assert.rejects(async () => {
        for await (const x of await c.chat.completions.create({ model: m, messages: FRANCE, stream: true })) {
          text += x.choices[0]?.delta?.content ?? ''
        }
      }, OpenAI.APIError, m)
      assert.equal(text, 'Par', m)
    }
  },

  async scripted_an_abort_cancels_at_the_backend(c) {
    await backend('POST', '/_reset')
    const s = await c.chat.completions.create({ model: 'never-ends', messages: FRANCE, stream: true })
    let seen = 0
    for await (const _ of s) if (++seen === 3) s.controller.abort()
    await goneWithin(5000)
    await backend('POST', '/_reset')
    const stop = new AbortController()
    setTimeout(() => stop.abort(), 300)
    await assert.rejects(c.chat.completions.create({ model: 'stall-before-head', messages: FRANCE, stream: true },
      { signal: stop.signal }), OpenAI.APIUserAbortError)
    await goneWithin(5000)
  },
}

for (const [name, f] of Object.entries(cases)) {
  const baseURL = process.env[name.startsWith('tiny_') ? 'TINY' : 'SCRIPTED']
  if (!baseURL) {
    console.log(`skip ${name}: ${process.env.WHY ?? 'not asked for'}`)
    continue
  }
  try {
    await f(new OpenAI({ baseURL, apiKey: 'unused', maxRetries: 0, timeout: 60_000 }))
    console.log(`ok ${name}`)
  } catch (e) {
    console.log(`FAIL ${name}: ${e.stack ?? e}`.replaceAll('\n', ' ').slice(0, 1500))
  }
}
