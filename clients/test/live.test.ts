// Live counts over graphql-transport-ws: by graphql-ws alone, by urql and by Apollo.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ApolloClient, InMemoryCache } from '@apollo/client/core';
import { GraphQLWsLink } from '@apollo/client/link/subscriptions';
import { Client, subscriptionExchange } from '@urql/core';
import { print } from 'graphql';
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';
import { CountChangedDocument, IngestDocument, type CountChangedSubscription } from '../generated/operations.js';
import { room } from './floor-plan.js';
import { run, url } from './server.js';

const connect = () => createClient({ url: url.replace(/^http/, 'ws'), webSocketImpl: WebSocket, retryAttempts: 0 });

interface Sink {
  next: (data: CountChangedSubscription | null | undefined) => void;
  error: (error: unknown) => void;
}

/** Subscribes with one client, and returns a function that ends the subscription. */
type Subscribe = (spaceIds: string[], sink: Sink) => () => void | Promise<void>;

const clients: Record<string, Subscribe> = {
  'graphql-ws': (spaceIds, sink) => {
    const client = connect();
    const end = client.subscribe<CountChangedSubscription>(
      { query: print(CountChangedDocument), variables: { spaceIds } },
      {
        next: ({ data, errors }) => (errors ? sink.error(errors) : sink.next(data)),
        error: sink.error,
        complete: () => {},
      },
    );
    return () => {
      end();
      return client.dispose();
    };
  },
  urql: (spaceIds, sink) => {
    const socket = connect();
    const client = new Client({
      url,
      preferGetMethod: false,
      exchanges: [
        subscriptionExchange({
          forwardSubscription: ({ query, variables }) => ({
            subscribe: (observer) => ({
              unsubscribe: socket.subscribe({ query: query ?? '', variables: variables ?? {} }, observer),
            }),
          }),
        }),
      ],
    });
    const { unsubscribe } = client
      .subscription(CountChangedDocument, { spaceIds })
      .subscribe(({ data, error }) => (error ? sink.error(error) : sink.next(data)));
    return () => {
      unsubscribe();
      return socket.dispose();
    };
  },
  Apollo: (spaceIds, sink) => {
    const socket = connect();
    const client = new ApolloClient({ link: new GraphQLWsLink(socket), cache: new InMemoryCache() });
    const subscription = client
      .subscribe({ query: CountChangedDocument, variables: { spaceIds } })
      .subscribe(({ data, error }) => (error ? sink.error(error) : sink.next(data)));
    return () => {
      subscription.unsubscribe();
      client.stop();
      return socket.dispose();
    };
  },
};

for (const [name, subscribe] of Object.entries(clients)) {
  test(`${name}: the current count at once, then each new one`, { timeout: 20_000 }, async () => {
    const { space, dpu } = await room();
    const ingest = async (second: number) => {
      const ts = `2025-04-01T09:00:0${second}Z`;
      const { ingest } = await run(IngestDocument, { events: [{ dpu: dpu.serial, ts, direction: 'TOWARD' }] });
      assert.equal(ingest.accepted, 1);
    };
    await ingest(1);

    const received: CountChangedSubscription['countChanged'][] = [];
    const waiting: (() => void)[] = [];
    let failure: unknown;
    const wake = () => waiting.splice(0).forEach((resume) => resume());
    const end = subscribe([space.id], {
      next: (data) => {
        if (data) received.push(data.countChanged);
        wake();
      },
      error: (error) => {
        failure = error;
        wake();
      },
    });
    const next = async () => {
      while (received.length === 0) {
        if (failure !== undefined) throw failure;
        await new Promise<void>((resume) => waiting.push(resume));
      }
      return received.shift();
    };

    try {
      for (const count of [1, 2, 3]) {
        if (count > 1) await ingest(count);
        const change = await next();
        assert.equal(change?.space.id, space.id);
        assert.equal(change.space.name, space.name);
        assert.equal(change.count, count);
        assert.ok(!Number.isNaN(Date.parse(change.ts)));
      }
    } finally {
      await end();
    }
    assert.equal(failure, undefined);
    assert.deepEqual(received, []);
  });
}
