import { createClient, type ClientOptions } from 'graphql-ws';
import { session } from './session.svelte';

/** Returns a connection that sends pings, and that is closed when the server does not answer them. */
export function connect(on: ClientOptions['on'] = {}) {
  const url = new URL('/graphql', location.href);
  url.protocol = url.protocol.replace('http', 'ws');
  let unanswered: ReturnType<typeof setTimeout>;
  const client = createClient({
    url: url.href,
    connectionParams: () => session.credentials,
    connectionAckWaitTimeout: 10_000,
    keepAlive: 10_000,
    retryAttempts: Infinity,
    retryWait: (retries) => new Promise((resolve) => setTimeout(resolve, Math.min(500 * 2 ** retries, 10_000))),
    shouldRetry: () => true,
    on: {
      ping: (received) => {
        if (!received) unanswered = setTimeout(() => client.terminate(), 5_000);
      },
      pong: (received) => {
        if (received) clearTimeout(unanswered);
      },
      ...on,
    },
  });
  return client;
}
