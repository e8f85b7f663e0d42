// @urql/core as its users set it up: nothing about this server needs special handling.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Client, cacheExchange, fetchExchange } from '@urql/core';
import { IngestDocument, SpacesDocument } from '../generated/operations.js';
import { room } from './floor-plan.js';
import { url } from './server.js';

for (const preferGetMethod of [false, true]) {
  test(`urql runs a query by ${preferGetMethod ? 'GET' : 'POST'}, and a mutation`, async () => {
    const client = new Client({ url, preferGetMethod, exchanges: [cacheExchange, fetchExchange] });
    const spaces = await client.query(SpacesDocument, { first: 1, ts: '2025-03-07T15:34:00Z' }).toPromise();
    assert.equal(spaces.error, undefined);
    assert.equal(spaces.data?.spaces.edges[0]?.node.count, 11);

    const { dpu } = await room();
    const events = [{ dpu: dpu.serial, ts: '2025-04-01T09:00:00Z', direction: 'TOWARD' as const }];
    const ingest = await client.mutation(IngestDocument, { events }).toPromise();
    assert.equal(ingest.error, undefined);
    assert.equal(ingest.data?.ingest.accepted, 1);

    const failing = await client.query(SpacesDocument, { first: 501 }).toPromise();
    assert.equal(failing.error?.networkError, undefined);
    assert.equal(failing.error?.graphQLErrors[0]?.extensions.code, 'TOO_COMPLEX');
  });
}
