// @apollo/client as its users set it up: nothing about this server needs special handling.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ApolloClient, CombinedGraphQLErrors, HttpLink, InMemoryCache } from '@apollo/client/core';
import { IngestDocument, SpacesDocument } from '../generated/operations.js';
import { room } from './floor-plan.js';
import { url } from './server.js';

for (const useGETForQueries of [false, true]) {
  test(`Apollo runs a query by ${useGETForQueries ? 'GET' : 'POST'}, and a mutation`, async () => {
    const client = new ApolloClient({
      link: new HttpLink({ uri: url, useGETForQueries }),
      cache: new InMemoryCache(),
    });
    const spaces = await client.query({ query: SpacesDocument, variables: { first: 1, ts: '2025-03-07T15:34:00Z' } });
    assert.equal(spaces.data?.spaces.edges[0]?.node.count, 11);

    const { dpu } = await room();
    const events = [{ dpu: dpu.serial, ts: '2025-04-01T09:00:00Z', direction: 'TOWARD' as const }];
    const ingest = await client.mutate({ mutation: IngestDocument, variables: { events } });
    assert.equal(ingest.data?.ingest.accepted, 1);

    await assert.rejects(client.query({ query: SpacesDocument, variables: { first: 501 } }), (error) => {
      assert.ok(CombinedGraphQLErrors.is(error));
      assert.equal(error.errors[0]?.extensions?.code, 'TOO_COMPLEX');
      return true;
    });
    client.stop();
  });
}
