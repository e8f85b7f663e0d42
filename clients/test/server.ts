// The server under test, and the shortest possible way to run a typed operation on it.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import type { TypedDocumentNode } from '@graphql-typed-document-node/core';
import { print, type GraphQLFormattedError } from 'graphql';

const base = process.env.HEADCOUNT_URL;
assert.ok(base, 'HEADCOUNT_URL names the server to test; ./run starts one');

export const url = new URL('/graphql', base).href;

export interface Answer<Data> {
  data?: Data | null;
  errors?: GraphQLFormattedError[];
}

/** Returns the answer of the server, including errors. */
export async function send<Data, Variables>(
  document: TypedDocumentNode<Data, Variables>,
  variables: Variables,
): Promise<Answer<Data>> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'application/graphql-response+json' },
    body: JSON.stringify({ query: print(document), variables }),
  });
  assert.equal(response.headers.get('content-type'), 'application/graphql-response+json; charset=utf-8');
  return (await response.json()) as Answer<Data>;
}

/** Returns the data; any error fails the test. */
export async function run<Data, Variables>(
  document: TypedDocumentNode<Data, Variables>,
  variables: Variables,
): Promise<Data> {
  const { data, errors } = await send(document, variables);
  assert.deepEqual(errors, undefined);
  assert.ok(data);
  return data;
}

/** Returns a name that is not in use on the server. */
export const unique = (name: string) => `${name} ${randomUUID()}`;
