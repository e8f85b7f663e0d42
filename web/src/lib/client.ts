import { Client, type CombinedError, fetchExchange, mapExchange } from '@urql/core';
import { session } from './session.svelte';

const wantsToken = ({ response, graphQLErrors }: CombinedError) =>
  response?.status === 401 || graphQLErrors.some(({ extensions }) => extensions.code === 'UNAUTHENTICATED');

/** Nothing is cached: every query is sent to the server. */
export const client = new Client({
  url: '/graphql',
  preferGetMethod: false,
  requestPolicy: 'network-only',
  fetchOptions: () => ({ headers: session.credentials }),
  exchanges: [
    mapExchange({
      onError(error) {
        if (wantsToken(error)) session.refuse();
      },
    }),
    fetchExchange,
  ],
});

/** Returns whether the viewer's token does not permit what was asked. */
export const isForbidden = (error?: CombinedError) => error?.graphQLErrors.some(({ extensions }) => extensions.code === 'FORBIDDEN') ?? false;

/** Describes an error in a sentence. */
export function explain(error: CombinedError | Error): string {
  if ('networkError' in error && error.networkError && !error.response) return 'The server does not answer.';
  if ('graphQLErrors' in error && error.graphQLErrors.length > 0) {
    return error.graphQLErrors.map(({ message }) => message).join(' ');
  }
  return error.message;
}
