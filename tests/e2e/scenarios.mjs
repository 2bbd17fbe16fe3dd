// What each of the vendor's Node clients does against the gateway, on all three upstreams.
//
// `run(makeClient)` reads the gateway's address, a key and the models by upstream from the command line, and prints one
// JSON object: for each `scenario upstream` an empty text, or what went wrong.

import assert from 'node:assert/strict';

const weather = {
  name: 'get_weather',
  description: 'The weather in a city',
  input_schema: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
};
// What stands in the upstreams' error texts and must not come down.
const hidden = ['123456789012', 'upstream-project-4711', 'arn:aws', 'req_vrtx', 'req_upstream'];
const hello = (text = 'Say hello') => [{ role: 'user', content: text }];

const scenarios = {
  async create({ client, model }) {
    const message = await client.messages.create({ model, max_tokens: 64, messages: hello('Grüß Gott ☃') });
    assert.equal(message.content[0].text, 'You said: Grüß Gott ☃');
    assert.equal(message.stop_reason, 'end_turn');
    assert.ok(message.usage.input_tokens > 0);
    assert.match(message._request_id, /^req_[0-9a-f]{32}$/);
  },

  async stream({ client, model }) {
    const pieces = [];
    const stream = client.messages.stream({ model, max_tokens: 64, messages: hello('one two three') });
    stream.on('text', (text) => pieces.push(text));
    const final = await stream.finalMessage();
    assert.equal(pieces.join(''), 'You said: one two three');
    assert.equal(final.content[0].text, 'You said: one two three');
    assert.ok(final.usage.output_tokens > 1);
  },

  async events({ client, model }) {
    const kinds = [];
    const stream = await client.messages.create({ model, max_tokens: 64, messages: hello('events=50'), stream: true });
    for await (const event of stream) kinds.push(event.type);
    assert.equal(kinds.filter((kind) => kind === 'content_block_delta').length, 44);
    assert.equal(kinds.at(-1), 'message_stop');
  },

  async tools({ client, model }) {
    const messages = hello('How is the weather in Zürich?');
    const first = await client.messages.stream({ model, max_tokens: 64, messages, tools: [weather] }).finalMessage();
    assert.equal(first.stop_reason, 'tool_use');
    const [call] = first.content;
    assert.deepEqual(call.input, { city: 'Zürich' });
    messages.push({ role: 'assistant', content: first.content });
    messages.push({ role: 'user', content: [{ type: 'tool_result', tool_use_id: call.id, content: 'sunny' }] });
    const second = await client.messages.create({ model, max_tokens: 64, messages, tools: [weather] });
    assert.equal(second.content[0].text, 'You said: sunny');
  },

  async thinking({ client, model }) {
    const thinking = { type: 'enabled', budget_tokens: 1024 };
    const request = { model, max_tokens: 2048, thinking };
    const first = await client.messages.stream({ ...request, messages: hello() }).finalMessage();
    assert.ok(first.content[0].signature);
    const messages = [...hello(), { role: 'assistant', content: first.content }, ...hello('and again')];
    const second = await client.messages.create({ ...request, messages });
    assert.equal(second.content.at(-1).text, 'You said: and again');
  },

  async betas({ client, model }) {
    const betas = ['context-1m-2025-08-07', 'not-yet-known-2027-01-01'];
    const message = await client.beta.messages.create({ model, max_tokens: 64, messages: hello('beta'), betas });
    assert.equal(message.content[0].text, 'You said: beta');
  },

  async count({ client, model }) {
    const count = async (text) => {
      const body = { model, messages: hello(text) };
      if (client.messages.countTokens) return (await client.messages.countTokens(body)).input_tokens;
      // Bedrock's client offers no method for it; sent by hand, the request keeps the Messages path.
      return (await client.post('/v1/messages/count_tokens', { body })).input_tokens;
    };
    assert.ok((await count('x')) > 0);
    assert.ok((await count('x'.repeat(4000))) >= 1000);
  },

  async errors({ client, model, APIError }) {
    for (const status of [400, 403, 404, 429, 500]) {
      for (const stream of [false, true]) {
        const request = { model, max_tokens: 64, messages: hello(`fail=${status}`), stream };
        const error = await failureOf(client.messages.create(request));
        assert.ok(error instanceof APIError, String(error));
        assert.equal(error.status, status);
        assert.match(error.requestID ?? '', /^req_[0-9a-f]{32}$/);
        const told = `${error} ${JSON.stringify(error.error)} ${JSON.stringify([...error.headers])}`;
        for (const text of hidden) assert.ok(!told.includes(text), told);
      }
    }
  },

  async unknownModel({ client }) {
    const error = await failureOf(client.messages.create({ model: 'claude-unheard-of', max_tokens: 9, messages: hello() }));
    assert.equal(error.status, 404);
    assert.match(error.message, /claude-unheard-of/);
  },

  async wrongKey({ makeClient, model }) {
    const client = makeClient({ key: 'a-key-of-nobody-0000000001', maxRetries: 3 });
    const begun = Date.now();
    const error = await failureOf(client.messages.create({ model, max_tokens: 9, messages: hello() }));
    assert.equal(error.status, 401);
    assert.equal(error.headers.get('x-should-retry'), 'false');
    assert.ok(Date.now() - begun < 5000, 'it was tried again');
  },
};

async function failureOf(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new assert.AssertionError({ message: 'no error came' });
}

/** `connect({url, key, maxRetries})` makes the client; `APIError` is the class of the errors that it throws. */
export async function run(connect, APIError) {
  const [url, key, models] = process.argv.slice(2);
  const makeClient = (options) => connect({ url, key, maxRetries: 0, ...options });
  const outcome = {};
  for (const [upstream, model] of Object.entries(JSON.parse(models))) {
    const client = makeClient({});
    for (const [name, scenario] of Object.entries(scenarios)) {
      try {
        await scenario({ client, makeClient, model, upstream, APIError });
        outcome[`${name} ${upstream}`] = '';
      } catch (error) {
        outcome[`${name} ${upstream}`] = String(error.stack ?? error);
      }
    }
  }
  process.stdout.write(JSON.stringify(outcome));
}
