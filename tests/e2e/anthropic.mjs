import Anthropic, { APIError } from '@anthropic-ai/sdk';
import { run } from './scenarios.mjs';

await run(({ url, key, maxRetries }) => new Anthropic({ baseURL: url, apiKey: key, maxRetries }), APIError);
