import { APIError } from '@anthropic-ai/sdk';
import { AnthropicVertex } from '@anthropic-ai/vertex-sdk';
import { run } from './scenarios.mjs';

// Instead of signing in to Google, the client shows the gateway's key.
const signedIn = (key) => ({ getRequestHeaders: async () => new Headers({ authorization: `Bearer ${key}` }) });

await run(
  ({ url, key, maxRetries }) =>
    new AnthropicVertex({
      baseURL: `${url}/vertex/v1`,
      region: 'us-east5',
      projectId: 'a-project-of-the-client',
      authClient: signedIn(key),
      maxRetries,
    }),
  APIError,
);
