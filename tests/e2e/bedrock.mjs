import { APIError } from '@anthropic-ai/sdk';
import { AnthropicBedrock } from '@anthropic-ai/bedrock-sdk';
import { run } from './scenarios.mjs';

await run(
  ({ url, key, maxRetries }) =>
    new AnthropicBedrock({ baseURL: `${url}/bedrock`, apiKey: key, awsRegion: 'us-east-1', maxRetries }),
  APIError,
);
