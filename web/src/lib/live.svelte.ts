// The current counts, by one subscription for the whole page. However many counts arrive, the page is drawn once a frame.

import { stringifyDocument } from '@urql/core';
import { SvelteMap } from 'svelte/reactivity';
import { CountsDocument, type CountsSubscription } from '../../generated/operations';
import { session } from './session.svelte';
import { connect } from './socket';

type Change = CountsSubscription['countChanged'];

const counts = new SvelteMap<string, Change>();
const waiting = new Map<string, Change>();
let drawn = $state(0);
let reachable = $state<boolean>();
let lost = $state<number>();

const socket = connect({
  connected: () => {
    reachable = true;
    lost = undefined;
  },
  closed: (event) => {
    if ([4401, 4403].includes((event as CloseEvent).code)) session.refuse();
    if (reachable !== false) lost = Date.now();
    reachable = false;
  },
});

function draw() {
  for (const [id, change] of waiting) counts.set(id, change);
  waiting.clear();
  drawn++;
}

function receive(change: Change) {
  if (waiting.size === 0) requestAnimationFrame(draw);
  waiting.set(change.space.id, change);
}

function watch() {
  const again = () => setTimeout(watch, 5_000);
  socket.subscribe<CountsSubscription>(
    { query: stringifyDocument(CountsDocument) },
    { next: ({ data }) => data && receive(data.countChanged), error: again, complete: again },
  );
}
watch();

export const live = {
  counts,
  /** Changes when a count may have changed. */
  get drawn() {
    return drawn;
  },
  /** Whether the server answers; undefined until this is known. */
  get reachable() {
    return reachable;
  },
  /** The time when the connection was lost, in milliseconds. */
  get lost() {
    return lost;
  },
};
